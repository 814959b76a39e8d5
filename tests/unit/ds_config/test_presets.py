"""The shipped presets: all there, all told apart, all without faults."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tunekit.ds_config.check import check_ds_config, dotted_items
from tunekit.ds_config.combinations import ZENFLOW_FAULT
from tunekit.ds_config.presets import load_preset, matching_preset, preset_facts, preset_names
from tunekit.errors import RecipeError

NAMES = [
    "z0",
    "z1",
    "z2",
    "z2_offload",
    "z2_offload_bf16",
    "z2_zenflow",
    "z3",
    "z3_offload",
    "z3_offload_bf16",
    "z3_offload_nvme",
    "z3_offload_optim",
    "z3_offload_param",
    "z3_offload_ratio",
    "z3_qlora",
]


def test_all_fourteen_are_shipped() -> None:
    assert list(preset_names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_no_fault_but_zenflows(name: str) -> None:
    found = [problem.found for problem in check_ds_config(load_preset(name), source=name)]
    assert found == ([ZENFLOW_FAULT] if name == "z2_zenflow" else [])


@pytest.mark.parametrize("name", NAMES)
def test_buckets_overlap_and_pinning_are_written(name: str) -> None:
    zero = load_preset(name)["zero_optimization"]
    facts = preset_facts(load_preset(name))
    sizes = {
        0: (),
        1: ("reduce_bucket_size", "allgather_bucket_size"),
        2: ("reduce_bucket_size", "allgather_bucket_size"),
        3: ("reduce_bucket_size", "stage3_prefetch_bucket_size", "sub_group_size", "stage3_max_reuse_distance"),
    }
    assert "overlap_comm" in zero
    assert all(isinstance(zero[key], int) for key in sizes[facts.stage])
    for section in ("offload_optimizer", "offload_param"):
        assert section not in zero or "pin_memory" in zero[section]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_runs_outside_the_trainer(name: str) -> None:
    config = load_preset(name)
    assert "auto" not in dict(dotted_items(config)).values()
    # With train_batch_size in the file, it would run on one number of GPUs only.
    assert "train_batch_size" not in config
    assert config["train_micro_batch_size_per_gpu"] == 1
    assert ("optimizer" in config) == (preset_facts(config).offload_optimizer != "none")


@pytest.mark.parametrize("name", NAMES)
def test_facts_lead_back_to_the_preset(name: str) -> None:
    found = matching_preset(preset_facts(load_preset(name)))
    assert found == ("z3" if name == "z3_qlora" else name)


def test_any_ratio_below_one_is_the_ratio_preset() -> None:
    facts = preset_facts(load_preset("z3_offload_ratio"))
    assert matching_preset(replace(facts, offload_ratio=0.35)) == "z3_offload_ratio"


def test_facts_without_a_preset() -> None:
    facts = preset_facts(load_preset("z1"))
    assert matching_preset(replace(facts, offload_optimizer="cpu")) is None


@pytest.mark.parametrize(
    ("name", "version"),
    [("z2", "0.9.3"), ("z3_offload_ratio", "0.12.4"), ("z2_zenflow", "0.17.5"), ("z3_offload_bf16", "0.19.1")],
)
def test_the_oldest_deepspeed_that_does_it(name: str, version: str) -> None:
    assert preset_facts(load_preset(name)).min_deepspeed == version


def test_facts_of_an_empty_configuration_are_deepspeeds_defaults() -> None:
    facts = preset_facts({})
    assert (facts.stage, facts.offload_optimizer, facts.offload_ratio, facts.zenflow) == (0, "none", 1.0, False)


def test_what_a_json_says_of_gradients_and_of_adam() -> None:
    plain = preset_facts({"zero_optimization": {"stage": 2}})
    assert (plain.fp32_gradients, plain.unfused_adam) == (False, False)
    optimizer = {"type": "AdamW", "params": {"torch_adam": True}}
    asked = preset_facts({"data_types": {"grad_accum_dtype": "fp32"}, "optimizer": optimizer})
    assert (asked.fp32_gradients, asked.unfused_adam) == (True, True)


def test_bf16_states_on_the_gpu_are_older() -> None:
    config = {"zero_optimization": {"stage": 2}, "bf16": {"enabled": True, "bf16_optimizer_states": True}}
    assert preset_facts(config).min_deepspeed == "0.18.3"


@pytest.mark.parametrize("name", ["z2_ofload", "../ds_configs/z2", ""])
def test_an_unknown_preset(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_preset(name)
    assert caught.value.problems[0].key == "zero.preset"
    if name == "z2_ofload":
        assert "did you mean z2_offload?" in str(caught.value)
