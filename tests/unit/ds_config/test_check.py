"""The check of a whole configuration: unknown and removed keys, "auto", the batch, and where each fault stands."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.ds_config.check import check_ds_config, dotted_items
from tunekit.errors import Problem

BATCH = {"train_batch_size": 16, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 8}


def check(config: dict[str, Any], **options: Any) -> tuple[Problem, ...]:
    return check_ds_config(config, source="mine.json", **options)


def test_a_misspelt_top_level_key_names_the_nearest() -> None:
    (problem,) = check({"gradient_cliping": 1.0})
    assert str(problem) == (
        "mine.json: gradient_cliping: unknown to DeepSpeed 0.19.8, which would ignore it silently; "
        "did you mean gradient_clipping?"
    )


@pytest.mark.parametrize(
    ("config", "key", "hint"),
    [
        ({"zero_optimization": {"stage": 2, "overlap_com": True}}, "zero_optimization.overlap_com", "overlap_comm?"),
        (
            {"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu", "pin": True}}},
            "zero_optimization.offload_param.pin",
            "",
        ),
        ({"aio": {"queue_deep": 8}}, "aio.queue_deep", "aio.queue_depth?"),
        ({"bf16": {"enable": True}}, "bf16.enable", "bf16.enabled?"),
    ],
)
def test_unknown_keys_inside_sections(config: dict[str, Any], key: str, hint: str) -> None:
    (problem,) = check(config)
    assert problem.key == key
    assert problem.hint.endswith(hint)


@pytest.mark.parametrize("key", ["elasticity", "amp", "curriculum_learning", "zero_optimization.mics_shard_size"])
def test_a_removed_key_says_what_to_do(key: str) -> None:
    section, _, name = key.rpartition(".")
    config = {"zero_optimization": {"stage": 2, name: 1}} if section else {name: {"enabled": True}}
    (problem,) = check(config)
    assert problem.key == key
    assert problem.found == "removed from DeepSpeed 0.19.8"
    assert problem.hint.startswith("delete it")


def test_old_names_are_told_the_new_ones() -> None:
    (problem,) = check({"zero_optimization": {"stage": 2, "cpu_offload": True}})
    assert "offload_optimizer" in problem.hint


def test_every_auto_is_found_unless_it_may_stay() -> None:
    config = {"train_batch_size": "auto", "zero_optimization": {"stage": 2, "reduce_bucket_size": "auto"}}
    assert [problem.key for problem in check(config)] == ["train_batch_size", "zero_optimization.reduce_bucket_size"]
    assert check(config, auto_allowed=True) == ()


def test_the_batch_identity() -> None:
    assert check(BATCH) == check(BATCH, world_size=2) == ()
    (problem,) = check(BATCH, world_size=4)
    assert problem.key == "train_batch_size"
    assert problem.found == "16 is not 1 x 8 x 4"
    assert check({**BATCH, "train_batch_size": 15})[0].found == "15 is not 1 x 8 x processes"


def test_a_batch_that_is_no_number() -> None:
    (problem,) = check({**BATCH, "train_micro_batch_size_per_gpu": 0})
    assert (problem.key, problem.found) == ("train_micro_batch_size_per_gpu", "found 0")


def test_a_section_that_is_no_section() -> None:
    assert [problem.key for problem in check({"bf16": True})] == ["bf16"]


def test_every_wrong_value_is_told_with_what_is_allowed() -> None:
    config = {
        "gradient_clipping": "x",
        "bf16": True,
        "zero_optimization": {
            "stage": 3,
            "sub_group_size": "1e9",
            "offload_optimizer": {"device": "nvme", "nvme_path": 3, "ratio": "a"},
        },
    }
    assert [str(problem) for problem in check(config)] == [
        'mine.json: gradient_clipping: found "x"; allowed: a number, 0 or more',
        "mine.json: bf16: found true; allowed: a section { ... }",
        'mine.json: zero_optimization.sub_group_size: found "1e9"; allowed: a whole number, 1 or more; write 1e9',
        "mine.json: zero_optimization.offload_optimizer.nvme_path: found 3; allowed: a printable text",
        'mine.json: zero_optimization.offload_optimizer.ratio: found "a"; allowed: a number, above 0 to 1',
    ]


def test_a_wrong_value_is_told_once() -> None:
    assert [problem.key for problem in check({"zero_optimization": {"stage": 3, "offload_param": {"device": 3}}})] == [
        "zero_optimization.offload_param.device"
    ]


@pytest.mark.parametrize("stage", ["2", 7, None, True, "auto"])
def test_without_a_stage_only_what_holds_under_all_of_them_is_told(stage: Any) -> None:
    zero = {"stage": stage, "legacy_stage1": True, "offload_param": {"device": "cpu"}}
    config = {"zero_optimization": zero, "bf16": {"enabled": True}, "fp16": {"enabled": True}}
    found = [problem.key for problem in check(config, auto_allowed=True)]
    assert sorted(found) == ["fp16.enabled", "zero_optimization.legacy_stage1", "zero_optimization.stage"]


@pytest.mark.parametrize("key", ["dump_state", "steps_per_print", "log_level"])
def test_auto_that_no_plan_fills_is_told(key: str) -> None:
    (problem,) = check({key: "auto"}, auto_allowed=True)
    assert (problem.key, problem.found) == (key, 'found "auto"')


def test_problems_carry_the_line_of_their_key() -> None:
    config = {"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}
    lines = {"zero_optimization": 3, "zero_optimization.stage": 4, "zero_optimization.offload_param": 5}
    (problem,) = check(config, lines=lines)
    assert problem.where == "mine.json:5"


def test_all_faults_at_once() -> None:
    config = {"elasticity": {}, "zzz": 1, "train_batch_size": "auto", "zero_optimization": {"stage": 7}}
    assert len(check(config)) == 4


def test_dotted_items_reach_every_value() -> None:
    assert dict(dotted_items({"a": {"b": {"c": 1}}, "d": [1]})) == {"a.b.c": 1, "d": [1]}
