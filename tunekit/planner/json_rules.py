"""Rules over keys that only a DeepSpeed JSON of the user's own can hold, on this model and machine."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.ds_config.stated import dig
from tunekit.ds_config.user_file import load_user_config
from tunekit.errors import Problem
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.recipe.schema import Recipe

_WEIGHTS = "zero_optimization.zero_quantized_weights"
CUDA_ONLY = (
    _WEIGHTS,
    "zero_optimization.zero_quantized_gradients",
    "zero_optimization.offload_optimizer.super_offload",
)


def keys_that_need_cuda(recipe: Recipe, job: Job, _shape: ModelShape, hardware: Hardware) -> Iterator[Problem]:
    """ZeRO++ and SuperOffload are CUDA kernels (`superoffload_stage3.py`, `partition_parameters.py` CUDAQuantizer)."""
    if job.accelerator == "cpu":
        for key in _turned_on(recipe):
            yield Problem(
                key=key,
                where=job.zero.preset,
                found=f"found true, but {hardware.name} runs CPU processes",
                allowed="cards of NVIDIA",
                hint="delete it",
            )


def one_quantiser(recipe: Recipe, job: Job, _shape: ModelShape, _hardware: Hardware) -> Iterator[Problem]:
    """Packed weights would be quantised again as if they were numbers (`partition_parameters.py`, CUDAQuantizer)."""
    if job.quantization and _WEIGHTS in _turned_on(recipe):
        yield Problem(
            key=_WEIGHTS,
            where=job.zero.preset,
            found=f"found true, but the base is packed in {job.quantization.kind} already",
            allowed="one quantiser",
            hint="delete it, or write method.kind=lora",
        )


def _turned_on(recipe: Recipe) -> tuple[str, ...]:
    """Those keys that the user's own JSON turns on."""
    config = load_user_config(recipe.zero.config) if recipe.zero.config is not None else {}
    return tuple(key for key in CUDA_ONLY if dig(config, key) is True)


JSON_RULES = (keys_that_need_cuda, one_quantiser)
