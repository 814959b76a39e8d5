"""A plan's DeepSpeed configuration: every number from the job, one owner per value, nothing of another stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plans import CPU_BOX, DUAL_4090, SHAPE, make_job, make_recipe
from tunekit.ds_config.build import build_ds_config, optimizer_block, owns_optimizer, swap_buffer_elements
from tunekit.ds_config.check import check_ds_config, dotted_items
from tunekit.ds_config.combinations import ZENFLOW_FAULT
from tunekit.errors import RecipeError
from tunekit.recipe.job import Job


def build(job: Job, **sections: dict[str, Any]) -> dict[str, Any]:
    config = build_ds_config(make_recipe(**sections), job, SHAPE)
    problems = check_ds_config(config, source="built", world_size=job.batch.world_size)
    assert [problem.found for problem in problems] == ([ZENFLOW_FAULT] if job.zero.zenflow else [])
    return config


def offloaded(**zero: Any) -> Job:
    settings = {"preset": "z3_offload", "stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}
    return make_job(DUAL_4090, zero={**settings, "pin_memory": True, **zero}, method="full", adapter=None)


def test_batch_and_clipping_are_the_plans() -> None:
    config = build(make_job(DUAL_4090), train={"max_grad_norm": 0.3})
    assert config["train_batch_size"] == 4
    assert config["train_micro_batch_size_per_gpu"] == 1
    assert config["gradient_accumulation_steps"] == 2
    assert config["gradient_clipping"] == 0.3


def test_sizes_are_the_plans_not_the_presets() -> None:
    zero = build(make_job(zero={"reduce_bucket_size": 123_456}))["zero_optimization"]
    assert zero["reduce_bucket_size"] == 123_456
    assert zero["allgather_bucket_size"] == 10**6
    assert not [key for key in zero if key.startswith("stage3_")]
    assert "sub_group_size" not in zero


def test_stage_three_has_its_own_sizes() -> None:
    zero = build(make_job(zero={"preset": "z3", "stage": 3}))["zero_optimization"]
    assert zero["stage3_prefetch_bucket_size"] == 10**6
    assert zero["stage3_param_persistence_threshold"] == 10**4
    assert zero["sub_group_size"] == zero["stage3_max_live_parameters"] == 10**8
    assert "allgather_bucket_size" not in zero


def test_weights_are_gathered_for_saving_only_when_all_are_trained() -> None:
    key = "stage3_gather_16bit_weights_on_model_save"
    assert build(offloaded())["zero_optimization"][key] is True
    assert build(make_job(zero={"preset": "z3", "stage": 3}))["zero_optimization"][key] is False


def test_the_trainer_owns_the_optimizer_without_offload() -> None:
    config = build(make_job(DUAL_4090, optimizer="paged_adamw_8bit"))
    assert "optimizer" not in config
    assert "scheduler" not in config
    assert config["zero_allow_untested_optimizer"] is True


def test_the_json_owns_an_optimizer_that_steps_in_ram() -> None:
    config = build(offloaded(), train={"weight_decay": 0.1})
    params = {"lr": 1e-4, "weight_decay": 0.1, "betas": [0.9, 0.999], "eps": 1e-8}
    assert config["optimizer"] == {"type": "AdamW", "params": params}
    assert config["zero_force_ds_cpu_optimizer"] is True
    assert config["zero_allow_untested_optimizer"] is False
    assert "scheduler" not in config


def test_lion_steps_in_ram_too() -> None:
    job = make_job(DUAL_4090, zero={"preset": "z2_offload", "offload_optimizer": "cpu"}, optimizer="lion")
    assert optimizer_block(make_recipe(), job) == {"type": "Lion", "params": {"lr": 1e-4, "weight_decay": 0.0}}


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"])
def test_others_cannot_step_in_ram(optimizer: str) -> None:
    job = make_job(DUAL_4090, zero={"preset": "z2_offload", "offload_optimizer": "cpu"}, optimizer=optimizer)
    with pytest.raises(RecipeError, match=f"{optimizer} cannot step in RAM.*adamw or lion"):
        build(job)


def test_bf16_states() -> None:
    config = build(offloaded(preset="z3_offload_bf16", bf16_states=True))
    assert config["bf16"] == {
        "enabled": True,
        "bf16_master_weights_and_grads": True,
        "bf16_optimizer_states": True,
    }
    assert "bf16_optimizer_states" not in build(offloaded())["bf16"]


@pytest.mark.parametrize(("precision", "section"), [("bf16", "bf16"), ("fp16", "fp16"), ("fp32", "bf16")])
def test_one_block_per_precision(precision: str, section: str) -> None:
    config = build(make_job(DUAL_4090, precision=precision))
    assert {"bf16", "fp16"} & set(config) == {section}
    assert config[section]["enabled"] is (precision != "fp32")
    if precision == "fp16":
        assert config["fp16"]["loss_scale"] == 0
        assert config["fp16"]["initial_scale_power"] == 16


def test_offload_sections_follow_the_job_not_the_preset() -> None:
    zero = build(make_job(zero={"preset": "z3_offload", "stage": 3}))["zero_optimization"]
    assert "offload_optimizer" not in zero
    assert "offload_param" not in zero
    zero = build(offloaded(pin_memory=False))["zero_optimization"]
    assert zero["offload_optimizer"] == zero["offload_param"] == {"device": "cpu", "pin_memory": False}


def test_a_ratio_stands_with_the_optimizer() -> None:
    zero = build(offloaded(preset="z3_offload_ratio", offload_param="none", offload_ratio=0.35))["zero_optimization"]
    assert zero["offload_optimizer"]["ratio"] == 0.35
    assert "ratio" not in build(offloaded())["zero_optimization"]["offload_optimizer"]


def test_nvme_gets_a_folder_buffers_and_aio() -> None:
    config = build(
        offloaded(preset="z3_offload_nvme", offload_optimizer="nvme", offload_param="nvme", nvme_path="/fast")
    )
    zero = config["zero_optimization"]
    assert zero["offload_optimizer"]["nvme_path"] == zero["offload_param"]["nvme_path"] == "/fast"
    assert zero["offload_optimizer"]["buffer_count"] == 4
    assert zero["offload_param"]["buffer_size"] == swap_buffer_elements(SHAPE, 2)
    assert config["aio"]["block_size"] == 2**20
    assert "aio" not in build(offloaded())


def test_nvme_written_out_gets_the_same_buffers() -> None:
    named = offloaded(preset="z3_offload_nvme", offload_optimizer="nvme", offload_param="nvme", nvme_path="/fast")
    written = offloaded(preset="mine", offload_optimizer="nvme", offload_param="nvme", nvme_path="/fast")
    assert build(named) == build(written)


def test_a_swap_buffer_holds_the_largest_partition() -> None:
    assert swap_buffer_elements(SHAPE, 2) == 256 * 64 // 2
    assert swap_buffer_elements(SHAPE, 3) % 1024 == 0
    assert swap_buffer_elements(SHAPE, 3) >= 256 * 64 / 3


def test_zenflow_updates_once_per_accumulation() -> None:
    zero = {"preset": "z2_zenflow", "offload_optimizer": "cpu", "zenflow": True}
    zenflow = build(make_job(DUAL_4090, zero=zero))["zero_optimization"]["zenflow"]
    assert zenflow["update_interval"] == 2
    assert zenflow["select_interval"] == 8
    assert zenflow["select_strategy"] == "step"
    assert zenflow["topk_ratio"] == 0.1


def test_stage_zero_has_no_sections_of_zero() -> None:
    zero = build(make_job(CPU_BOX, zero={"preset": "z0", "stage": 0}))["zero_optimization"]
    assert zero == {"stage": 0, "overlap_comm": False}


def test_a_preset_and_the_same_written_out_are_alike() -> None:
    named, written = (make_job(zero={"preset": name, "stage": 3}) for name in ("z3", "mine"))
    assert build(named) == build(written)


def user_file(tmp_path: Path, config: dict[str, Any]) -> dict[str, Any]:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return {"config": str(path)}


def test_the_users_file_keeps_what_the_plan_does_not_own(tmp_path: Path) -> None:
    theirs = {
        "steps_per_print": 7,
        "train_batch_size": "auto",
        "comms_logger": {"enabled": True},
        "bf16": {"enabled": "auto", "check_grad_overflow": False},
        "zero_optimization": {
            "stage": 2,
            "round_robin_gradients": True,
            "reduce_scatter": False,
            "reduce_bucket_size": "auto",
        },
    }
    config = build(make_job(zero={"preset": "mine"}), zero=user_file(tmp_path, theirs))
    assert config["steps_per_print"] == 7
    assert config["comms_logger"] == {"enabled": True}
    assert config["bf16"] == {"check_grad_overflow": False, "enabled": True}
    assert config["zero_optimization"]["round_robin_gradients"] is True
    assert config["zero_optimization"]["reduce_scatter"] is False
    assert config["zero_optimization"]["contiguous_gradients"] is True
    assert config["zero_optimization"]["reduce_bucket_size"] == 10**6
    assert "auto" not in dict(dotted_items(config)).values()


def test_the_users_optimizer_keeps_its_betas(tmp_path: Path) -> None:
    params = {"lr": "auto", "betas": [0.9, 0.95], "eps": 1e-6, "weight_decay": "auto"}
    theirs = {"optimizer": {"type": "AdamW", "params": params}, "zero_optimization": {"stage": 2}}
    config = build(make_job(zero={"preset": "mine"}), zero=user_file(tmp_path, theirs))
    assert config["optimizer"] == {
        "type": "AdamW",
        "params": {"lr": 1e-4, "betas": [0.9, 0.95], "eps": 1e-6, "weight_decay": 0.0},
    }


@pytest.mark.parametrize(("theirs", "owned"), [({"optimizer": {"type": "AdamW"}}, True), ({}, False)])
def test_who_owns_the_optimizer_is_what_the_json_says(tmp_path: Path, theirs: dict[str, Any], owned: bool) -> None:
    sections = {"zero": user_file(tmp_path, {"zero_optimization": {"stage": 2}, **theirs})}
    job = make_job(zero={"preset": "mine"})
    assert owns_optimizer(make_recipe(**sections), job) is ("optimizer" in build(job, **sections)) is owned
    assert owns_optimizer(make_recipe(), offloaded())
    assert not owns_optimizer(make_recipe(), make_job())


def test_the_same_job_gives_the_same_text() -> None:
    texts = {json.dumps(build(offloaded())) for _ in range(3)}
    assert len(texts) == 1
