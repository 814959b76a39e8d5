# ruff: noqa: E501 - messages stand here as they are printed
from __future__ import annotations

from typing import Any

import pytest

from tunekit.errors import RecipeError
from tunekit.recipe.checks import RULES, Reader, Unreadable, check_recipe, remarks
from tunekit.recipe.loading import load_recipe
from tunekit.recipe.schema import Recipe

REQUIRED: dict[str, Any] = {"model": {"path": "a/b"}, "data": {"path": "d.jsonl"}, "output": {"dir": "runs/x"}}


def mapping(settings: dict[str, Any]) -> dict[str, Any]:
    content = {name: dict(section) for name, section in REQUIRED.items()}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        content.setdefault(section, {})[name] = value
    return content


def broken(settings: dict[str, Any]) -> list[str]:
    try:
        load_recipe(mapping(settings))
    except RecipeError as error:
        return [str(problem).removeprefix("the mapping: ") for problem in error.problems]
    return []


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"zero.preset": "z3_qlroa"}, "zero.preset: there is no preset z3_qlroa;"),
    ({"zero.preset": "my.json"}, "for a file of your own write zero.config: my.json"),
    ({"zero.preset": "qqqq"}, "for a file of your own write zero.config"),
    ({"zero.preset": "z2", "zero.stage": 2}, "zero.stage: found 2 beside zero.preset z2;"),
    ({"zero.preset": "z2", "zero.config": "my.json"}, "zero.config: found my.json beside zero.preset z2;"),
    (
        {"method.kind": "full", "method.rank": 8},
        "method.rank: found 8 while method.kind is full; only with method.kind lora or qlora; remove it, or set method.kind=lora",
    ),
    (
        {"method.kind": "full", "method.modules_to_save": ["lm_head"]},
        "method.modules_to_save: found [lm_head] while method.kind is full;",
    ),
    (
        {"method.kind": "full", "method.quantization": "nf4"},
        "method.quantization: found nf4 while method.kind is full; only with method.kind qlora;",
    ),
    (
        {"method.kind": "lora", "method.double_quant": True},
        "method.double_quant: found true while method.kind is lora;",
    ),
    ({"method.target_modules": []}, "method.target_modules: found no module;"),
    (
        {"method.kind": "qlora", "method.target_modules": ["q_proj", "lm_head"]},
        "method.target_modules: found lm_head while method.kind is qlora;",
    ),
    (
        {"method.kind": "qlora", "method.target_modules": "lm_head"},
        "method.target_modules: found lm_head while method.kind is qlora;",
    ),
    (
        {"zero.stage": 2, "zero.offload_param": "cpu"},
        "zero.offload_param: found cpu with zero.stage 2, where DeepSpeed ignores it; needs zero.stage 3; set zero.stage=3 or zero.offload_param=none",
    ),
    (
        {"zero.stage": 1, "zero.offload_optimizer": "nvme", "zero.nvme_path": "/x"},
        "zero.offload_optimizer: found nvme with zero.stage 1,",
    ),
    (
        {"zero.stage": 0, "zero.offload_optimizer": "cpu"},
        "zero.offload_optimizer: found cpu with zero.stage 0, where DeepSpeed ignores it; needs zero.stage 1, 2 or 3; set zero.stage=2",
    ),
    ({"zero.stage": 3, "zero.offload_param": "nvme"}, "zero.nvme_path: missing, while zero.offload_param is nvme;"),
    ({"zero.offload_optimizer": "nvme"}, "zero.nvme_path: missing, while zero.offload_optimizer is nvme;"),
    ({"zero.stage": 2, "zero.offload_ratio": 0.5}, "zero.offload_ratio: found 0.5 with zero.stage 2;"),
    (
        {"zero.offload_optimizer": "none", "zero.offload_ratio": 0.5},
        "zero.offload_ratio: found 0.5 with zero.offload_optimizer none;",
    ),
    (
        {"zero.stage": 2, "zero.sub_group_size": 1000},
        "zero.sub_group_size: found 1000 with zero.stage 2, where DeepSpeed ignores it; needs zero.stage 3;",
    ),
    (
        {"zero.stage": 3, "zero.allgather_bucket_size": 1000},
        "zero.allgather_bucket_size: found 1000 with zero.stage 3, where DeepSpeed ignores it; needs zero.stage 1 or 2;",
    ),
    ({"zero.bf16_states": True, "train.precision": "fp16"}, "zero.bf16_states: found true with train.precision fp16;"),
    ({"zero.bf16_states": True, "zero.stage": 0}, "zero.bf16_states: found true with zero.stage 0;"),
    (
        {"train.optimizer": "paged_adamw_8bit", "zero.offload_optimizer": "cpu"},
        "train.optimizer: found paged_adamw_8bit with zero.offload_optimizer cpu;",
    ),
    (
        {"model.attention": "flash_attention_2", "train.precision": "fp32"},
        "model.attention: found flash_attention_2 with train.precision fp32;",
    ),
    (
        {"train.micro_batch_size": 3, "train.gradient_accumulation_steps": 4, "train.global_batch_size": 16},
        "train.global_batch_size: found 16, which is not a multiple of micro_batch_size 3 x gradient_accumulation_steps 4 = 12; must be micro_batch_size x gradient_accumulation_steps x number of GPUs; nearest that work: 12 or 24",
    ),
    (
        {"train.micro_batch_size": 32, "train.global_batch_size": 16},
        "train.global_batch_size: found 16, which is not a multiple of micro_batch_size 32; must be micro_batch_size x gradient_accumulation_steps x number of GPUs; nearest that work: 32",
    ),
    ({"train.gradient_accumulation_steps": 5, "train.global_batch_size": 16}, "nearest that work: 15 or 20"),
    ({"data.streaming": True}, "train.max_steps: missing, while data.streaming is true"),
    (
        {"data.streaming": True, "train.max_steps": 5, "data.eval_fraction": 0.1},
        "data.eval_fraction: found 0.1 while data.streaming is true",
    ),
    (
        {"data.eval_path": "e.jsonl", "data.eval_fraction": 0.1},
        "data.eval_fraction: found 0.1 beside data.eval_path e.jsonl;",
    ),
    ({"train.eval_steps": 10}, "train.eval_steps: found 10, but there is nothing to evaluate on;"),
    (
        {"data.completion_only_loss": True, "data.format": "text"},
        "data.completion_only_loss: found true with data.format text",
    ),
    (
        {"output.sample_prompts": ["x", "hf_" + "a" * 34]},
        "output.sample_prompts: found a token, a password or a web hook; allowed: anything but secrets",
    ),
    ({"data.path": "https://me:pa55word@host/rows"}, "data.path: found a token, a password or a web hook;"),
    ({"watch.notify_url": "https://hooks.slack.com/services/T/B/x"}, "watch.notify_url: found a token, a password"),
    ({"watch.notify_url": "ftp://a.b"}, "watch.notify_url: found what is no address; allowed: http://…"),
    ({"watch.notify_url": "hooks.example.com/secret"}, "set WEBHOOK in your shell"),
]


@pytest.mark.parametrize(("settings", "message"), BROKEN)
def test_each_rule_says_what_contradicts_and_what_to_type(settings: dict[str, Any], message: str) -> None:
    (found,) = broken(settings)
    assert message in found


@pytest.mark.parametrize(
    "settings",
    [
        {"watch.notify_url": "https://example.com/hook"},
        {"watch.notify_url": "$WEBHOOK"},
        {"zero.preset": "z2", "zero.stage": "auto"},
        {"zero.preset": "z3_offload_nvme", "zero.nvme_path": "/mnt"},
        {"method.kind": "full", "method.rank": "auto"},
        {"method.kind": "lora", "method.target_modules": ["lm_head"]},
        {"method.kind": "qlora", "method.quantization": "fp4"},
        {"zero.stage": 3, "zero.offload_param": "cpu", "zero.sub_group_size": 1000, "zero.offload_ratio": 0.5},
        {"zero.stage": 2, "zero.offload_optimizer": "cpu", "train.optimizer": "lion", "zero.bf16_states": True},
        {"train.optimizer": "adamw_8bit", "zero.offload_optimizer": "none"},
        {"train.micro_batch_size": 2, "train.gradient_accumulation_steps": 4, "train.global_batch_size": 16},
        {"train.global_batch_size": 7},
        {"data.streaming": True, "train.max_steps": 5, "data.eval_path": "e.jsonl", "train.eval_steps": 2},
        {"data.completion_only_loss": False, "data.format": "text"},
        {"output.save_steps": 200, "train.max_steps": 2},
    ],
)
def test_what_holds_is_let_through(settings: dict[str, Any]) -> None:
    assert broken(settings) == []


def test_every_rule_is_seen_to_fail_above() -> None:
    failing = set()
    for settings, _ in BROKEN:
        recipe = Recipe.model_validate(mapping(settings))
        reader = Reader(recipe=recipe, written=frozenset(settings), faulty=frozenset())
        failing |= {rule for rule in RULES if list(rule(reader))}
    assert {rule.__name__ for rule in RULES} == {rule.__name__ for rule in failing}
    assert len(RULES) == 23


def test_a_reader_refuses_what_is_faulty() -> None:
    reader = Reader(
        recipe=Recipe.model_validate(REQUIRED),
        written=frozenset({"train.seed", "hardware"}),
        faulty=frozenset({"train.seed", "zero"}),
    )
    for key in ("train.seed", "zero.stage"):
        with pytest.raises(Unreadable):
            reader[key]
    assert reader["hardware"] == "local"
    assert reader["train.max_grad_norm"] == 1.0
    assert [reader.wrote(key) for key in ("train.seed", "hardware", "tracking")] == [False, True, False]


def test_a_rule_is_silent_when_it_cannot_read() -> None:
    recipe = Recipe.model_validate(mapping({"data.streaming": True}))
    assert check_recipe(Reader(recipe=recipe, written=frozenset(), faulty=frozenset({"train.max_steps"}))) == ()


@pytest.mark.parametrize(
    ("settings", "remark"),
    [
        (
            {"output.save_steps": 200, "train.max_steps": 2},
            "output.save_steps is 200 and train.max_steps 2: no checkpoint is written before the final model.",
        ),
        (
            {"train.eval_steps": 9, "train.max_steps": 2, "data.eval_fraction": 0.1},
            "train.eval_steps is 9 and train.max_steps 2: evaluated at the end only.",
        ),
        (
            {"data.eval_path": "d.jsonl"},
            "data.eval_path is the training data (d.jsonl): the evaluation loss says nothing new.",
        ),
    ],
)
def test_what_has_no_effect_is_remarked(settings: dict[str, Any], remark: str) -> None:
    assert remarks(load_recipe(mapping(settings)).recipe) == (remark,)


def test_an_ordinary_recipe_needs_no_remark() -> None:
    assert remarks(load_recipe(mapping({"output.save_steps": 2, "train.max_steps": 2})).recipe) == ()


def test_what_is_trusted_is_said() -> None:
    trusting = mapping({"model.trust_remote_code": True, "model.allow_pickle": True})
    code, pickles = remarks(Recipe.model_validate(trusting))
    assert code == "model.trust_remote_code is true: Python code that comes with a/b runs as you."
    assert pickles == "model.allow_pickle is true: pickle files of a/b may run code while they are read."
