"""What a DeepSpeed JSON of the user's own may say though it is risky, or does nothing on this machine: warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from tunekit.ds_config.stated import dig
from tunekit.hardware.spec import Hardware
from tunekit.recipe.job import Job

Config: TypeAlias = Mapping[str, Any]
Remark: TypeAlias = Callable[[Config, Job, Hardware], Iterator[str]]

_ZERO = "zero_optimization"


def config_remarks(config: Config, job: Job, hardware: Hardware) -> tuple[str, ...]:
    """Every warning about a normalised configuration, for the job it is filled for."""
    return tuple(text for remark in REMARKS for text in remark(config, job, hardware))


def _copies_of_another_box(config: Config, job: Job, hardware: Hardware) -> Iterator[str]:
    """ZeRO++ saves traffic between machines (`runtime/zero/partition_parameters.py`); profiles are of one machine."""
    size = dig(config, f"{_ZERO}.zero_hpz_partition_size")
    if isinstance(size, int) and size > 1 and job.zero.stage == 3:
        yield (
            f"zero_hpz_partition_size {size} keeps a second copy of the weights on the cards of one machine to spare "
            f"the network between several; {hardware.name} is one machine, so it costs memory and gains nothing."
        )
    if dig(config, f"{_ZERO}.zero_quantized_gradients") is True and job.zero.stage == 3:
        yield (
            "zero_quantized_gradients spares the network between machines; on one it rounds gradients and gains little."
        )


def _clipping_waits(config: Config, job: Job, _hardware: Hardware) -> Iterator[str]:
    """`runtime/superoffload/superoffload_stage3.py`: the CPU steps beside backward only without clipping."""
    clips = config.get("gradient_clipping") not in (0, 0.0)
    if dig(config, f"{_ZERO}.offload_optimizer.super_offload") is True and clips:
        yield "super_offload steps beside backward only without clipping: set train.max_grad_norm=0, or expect no gain."


def _adam_is_adamw(config: Config, _job: Job, _hardware: Hardware) -> Iterator[str]:
    """`runtime/engine.py`, `_configure_basic_optimizer`: `adam_w_mode` is true unless written."""
    named = str(dig(config, "optimizer.type")).lower() == "adam"
    if named and dig(config, "optimizer.params.adam_w_mode") is None:
        yield 'optimizer.type Adam is AdamW in DeepSpeed; for decay inside the gradient write "adam_w_mode": false.'


REMARKS: tuple[Remark, ...] = (_copies_of_another_box, _clipping_waits, _adam_is_adamw)
