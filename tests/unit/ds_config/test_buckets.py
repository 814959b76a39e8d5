"""Bucket sizes: from the hidden size, capped by the card, never larger than what is trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.plans import CPU_BOX, DUAL_4090, RTX_4090
from tunekit.ds_config.buckets import BucketSizes, bucket_sizes, overlap_comm
from tunekit.hardware.profiles import load_profile
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.catalogue import find
from tunekit.model_shape.shape import ModelShape, ParameterTensor


def shape(hub_id: str) -> ModelShape:
    found = find(hub_id)
    assert found is not None
    return found


def sizes(hub_id: str, hardware: Hardware = DUAL_4090, stage: int = 3) -> BucketSizes:
    model = shape(hub_id)
    return bucket_sizes(model, hardware, stage=stage, trainable=model.tensors, world_size=2)


def test_seven_billion_follow_the_trainers_rule() -> None:
    chosen = sizes("meta-llama/Llama-2-7b-hf")
    assert chosen.reduce_bucket_size.value == 4096**2
    assert chosen.prefetch_bucket_size.value == 4096**2 * 9 // 10
    assert chosen.param_persistence_threshold.value == 40_960
    assert "4096 squared" in chosen.reduce_bucket_size.reason


def test_a_wide_model_is_capped_on_a_small_card() -> None:
    chosen = sizes("codellama/CodeLlama-34b-hf")
    assert chosen.reduce_bucket_size.value == chosen.prefetch_bucket_size.value == 50_000_000
    assert "capped for a card of 23.0 GiB" in chosen.reduce_bucket_size.reason


def test_a_large_card_is_not_capped_there() -> None:
    chosen = sizes("codellama/CodeLlama-34b-hf", load_profile("8x_a100_80gb"))
    assert chosen.reduce_bucket_size.value == 8192**2
    assert chosen.max_live_parameters.value == chosen.max_reuse_distance.value == 10**9


def test_a_small_model_gets_a_bucket_worth_a_collective() -> None:
    assert sizes("HuggingFaceTB/SmolLM2-135M-Instruct").reduce_bucket_size.value == 2**24


def test_adapters_fit_into_one_bucket() -> None:
    adapter = ParameterTensor(name="layers.{layer}.q.lora_A", shape=(8, 4096), role="linear", count=32)
    chosen = bucket_sizes(shape("meta-llama/Llama-2-7b-hf"), DUAL_4090, stage=2, trainable=(adapter,), world_size=2)
    assert chosen.reduce_bucket_size.value == chosen.allgather_bucket_size.value == 8 * 4096 * 32


def test_reuse_distance_is_short_on_a_small_card() -> None:
    # 0.4 GB of bf16 at the turn from forward to backward, where DeepSpeed's default keeps 1 GB.
    assert sizes("codellama/CodeLlama-34b-hf").max_reuse_distance.value == 400_000_000
    assert sizes("HuggingFaceTB/SmolLM2-135M-Instruct").max_reuse_distance.value < 10_000_000


def test_the_smallest_card_of_a_machine_decides() -> None:
    large = replace(RTX_4090, usable_bytes=79 * 2**30)
    mixed = replace(DUAL_4090, gpus=(large, RTX_4090))
    assert sizes("codellama/CodeLlama-34b-hf", mixed) == sizes("codellama/CodeLlama-34b-hf")


def test_every_size_has_a_reason_and_a_field_of_zero() -> None:
    from tunekit.recipe.job import Zero

    choices = dict(sizes("meta-llama/Llama-2-7b-hf", CPU_BOX).items())
    assert len(choices) == 7
    assert set(choices) <= set(Zero.__slots__)
    assert all(choice.reason and choice.value > 0 for choice in choices.values())


@pytest.mark.parametrize(
    ("hardware", "stage", "method", "expected"),
    [
        (CPU_BOX, 3, "full", False),
        (DUAL_4090, 0, "full", False),
        (DUAL_4090, 2, "full", True),
        (DUAL_4090, 2, "lora", False),
        (DUAL_4090, 3, "lora", True),
        (replace(DUAL_4090, gpus=DUAL_4090.gpus[:1]), 2, "full", False),
    ],
)
def test_overlap_is_for_cards_with_something_to_hide(
    hardware: Hardware, stage: int, method: str, expected: bool
) -> None:
    choice = overlap_comm(hardware, stage=stage, method=method)  # type: ignore[arg-type]
    assert choice.value is expected
    assert choice.reason
