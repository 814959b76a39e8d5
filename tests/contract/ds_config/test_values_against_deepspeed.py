"""The table of values against the DeepSpeed that is installed: what it lets through is taken, and means the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from tunekit.ds_config.accepted import REMOVED, TOP_LEVEL
from tunekit.ds_config.accepted_values import VALUES, Accepts

pytestmark = pytest.mark.train

Parse = Callable[[dict[str, Any]], tuple[Any, set[str]]]
TRIED: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, 3, 4, -1, 0.0, 0.5, 1.0, 2.0, 2.5, 5e8, 1e9, 10**12, 2**62),
    *("", "x", "cpu", "nvme", "none", "step", "epoch", "fp32", "mean", "sum", "info", "1e9", [], ["a.B"], [0.9, 0.99]),
)
KINDS = {bool: {"flag"}, int: {"whole number"}, float: {"number"}}


def models() -> dict[str, Any]:
    pytest.importorskip("deepspeed")
    from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config
    from deepspeed.runtime.zenflow.zenflow_config import ZenFlowConfig
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from deepspeed.runtime.zero.leaf_module_config import DeepSpeedZeroLeafModuleConfig
    from deepspeed.runtime.zero.offload_config import (
        DeepSpeedZeroOffloadOptimizerConfig,
        DeepSpeedZeroOffloadParamConfig,
    )

    return {
        "zero_optimization": DeepSpeedZeroConfig,
        "zero_optimization.offload_optimizer": DeepSpeedZeroOffloadOptimizerConfig,
        "zero_optimization.offload_param": DeepSpeedZeroOffloadParamConfig,
        "zero_optimization.zenflow": ZenFlowConfig,
        "zero_optimization.leaf_module": DeepSpeedZeroLeafModuleConfig,
        "bf16": DeepSpeedBF16Config,
        "fp16": DeepSpeedFP16Config,
    }


def fields() -> list[tuple[str, Any, str, Any]]:
    """Dotted key, model, field or alias, annotation: one of each spelling that is not removed."""
    return [
        (f"{section}.{name}", model, name, field.annotation)
        for section, model in models().items()
        for key, field in model.model_fields.items()
        for name in (key, field.alias)
        if name and f"{section}.{name}" not in REMOVED
    ]


def test_what_is_taken_in_sections_is_taken_by_deepspeed() -> None:
    # Offload ratio and gradient norm stand on the stage, which `combinations` asks about.
    taken = [
        (key, model, name, value) for key, model, name, _ in fields() for value in TRIED if VALUES[key].takes(value)
    ]
    assert len(taken) > 300
    for _, model, name, value in taken:
        model(**{"stage": 2, name: value} if name == "compute_grad_norm" else {name: value})


def test_kinds_are_those_of_deepspeeds_fields() -> None:
    seen = 0
    for key, _, _, annotation in fields():
        types = {each for each in (annotation, *get_args(annotation)) if each in KINDS}
        if types and key != "zero_optimization.stage":
            seen += 1
            assert {VALUES[key].kind} <= set().union(*(KINDS[each] for each in types)), key
    assert seen > 60


def test_a_null_is_taken_where_deepspeed_takes_one() -> None:
    for key, model, name, _ in fields():
        assert VALUES[key].null is not _refuses_null(model, name), key


def _refuses_null(model: Any, name: str) -> bool:
    try:
        model(**{name: None})
    except ValueError:
        return True
    return False


# The batch is filled from the plan; the parallel sizes are refused.
SCALARS = sorted(
    key
    for key in TOP_LEVEL
    if VALUES[key].kind != "section" and not key.startswith("train_") and not key.endswith("parallel_size")
)


@pytest.mark.parametrize("key", SCALARS)
def test_what_is_taken_at_the_top_is_taken_by_deepspeed(parse: Parse, key: str) -> None:
    values = [value for value in TRIED if VALUES[key].takes(value)]
    assert values
    for value in values:
        parse({"train_micro_batch_size_per_gpu": 1, key: value})


def test_log_levels_and_reductions_are_deepspeeds() -> None:
    pytest.importorskip("deepspeed")
    from deepspeed.runtime.constants import GRADIENT_ALLREDUCE_OP_SUPPORTED
    from deepspeed.utils.logging import log_levels

    assert set(VALUES["log_level"].choices) == set(log_levels)
    assert set(VALUES["gradient_allreduce_op"].choices) == set(GRADIENT_ALLREDUCE_OP_SUPPORTED)


def test_a_flag_in_quotes_would_be_taken_and_is_refused_on_purpose() -> None:
    assert models()["bf16"](enabled="true").enabled is True
    assert not Accepts(kind="flag").takes("true")
