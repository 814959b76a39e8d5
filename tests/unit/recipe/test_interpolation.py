# ruff: noqa: E501 - messages stand here as they are printed
from __future__ import annotations

import pytest

from tunekit.recipe.interpolation import resolve


def faults(content: dict[str, object]) -> list[str]:
    return [str(problem) for problem in resolve(content).faults.values()]


def test_references_keep_their_type_and_reach_into_lists_and_sections() -> None:
    content = {
        "train": {"seed": 7, "max_steps": "${train.seed}"},
        "output": {"dir": "runs/${train.seed}", "sample_prompts": ["${model.path}?"]},
        "model": {"path": "x"},
        "data": {"columns": "${model}"},
    }
    resolved = resolve(content)
    assert resolved.faults == {}
    assert resolved.content["train"]["max_steps"] == 7
    assert resolved.content["output"] == {"dir": "runs/7", "sample_prompts": ["x?"]}
    assert resolved.content["data"]["columns"] == {"path": "x"}


def test_an_escaped_reference_is_text() -> None:
    assert resolve({"a": "\\${HOME}"}).content == {"a": "${HOME}"}


def test_the_environment_can_be_referred_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEKIT_TEST_DATA", "here.jsonl")
    assert resolve({"a": "${oc.env:TUNEKIT_TEST_DATA}"}).content == {"a": "here.jsonl"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"a": "${train.max_step}"},
            "a: found ${train.max_step}, but there is no key train.max_step; did you mean ${train.max_steps}?",
        ),
        ({"a": "${paths.x}"}, "a: found ${paths.x}, but there is no key paths.x; name a key of this recipe"),
        (
            {"a": "${train.seed}"},
            "a: found ${train.seed}, but train.seed is not written in this recipe; write train.seed first, then refer to it",
        ),
        (
            {"a": "${b}", "b": 1, "c": ["${d.e}"]},
            "c[0]: found ${d.e}, but there is no key d.e; name a key of this recipe",
        ),
        ({"a": "???"}, "a: found ???: it is left for you to fill in; write a value, or type a=VALUE"),
        (
            {"a": {"b": "x ${"}},
            "a.b: cannot be read: no viable alternative at input '${'; write ${section.key}, or escape it: \\${",
        ),
        (
            {"a": ["x", "${"]},
            "a: cannot be read: no viable alternative at input '${'; write ${section.key}, or escape it: \\${",
        ),
    ],
)
def test_each_fault_says_what_was_meant(content: dict[str, object], message: str) -> None:
    assert faults(content) == [message]


def test_circles_are_found_wherever_they_begin() -> None:
    assert faults({"a": "${b}", "b": "${a}"}) == [
        "a: found ${b}: it goes in a circle",
        "b: found ${a}: it goes in a circle",
    ]
    assert "it goes in a circle" in faults({"a": "${b}", "b": {"c": "${a}"}})[0]


def test_an_unset_variable_is_named() -> None:
    (fault,) = faults({"a": "${oc.env:TUNEKIT_TEST_UNSET}"})
    assert "TUNEKIT_TEST_UNSET" in fault


def test_no_fault_hides_another_and_faulty_keys_are_left_out() -> None:
    resolved = resolve({"a": "${", "b": "${x}", "c": "???", "d": "fine", "e": {"f": "${y}", "g": 1}})
    assert set(resolved.faults) == {("a",), ("b",), ("c",), ("e", "f")}
    assert resolved.content == {"d": "fine", "e": {"g": 1}}


def test_what_omegaconf_does_not_know_is_no_circle() -> None:
    (found,) = faults({"train": {"seed": "${foo:1}"}})
    assert found == (
        "train.seed: found ${foo:1}: Unsupported interpolation type foo; write ${section.key}, ${oc.env:NAME} or a value"
    )


@pytest.mark.parametrize(
    "content",
    [
        {"a": {"b.c": "${unclosed"}},
        {"a": {"-0.0": "${.}", "[[1]]": "${unclosed"}},
        {"${oc.dict.keys:a}": ["${unclosed"]},
        {"a": {"": "${"}},
    ],
)
def test_keys_of_any_spelling_are_named_and_left_out(content: dict[str, object]) -> None:
    resolved = resolve(content)
    assert resolved.faults
    assert "${" not in str(list(resolved.content.values()))


def test_references_that_grow_without_end_are_not_followed() -> None:
    doubling = {f"k{i}": f"${{k{i + 1}}}${{k{i + 1}}}" for i in range(40)}
    found = faults({**doubling, "k40": "x"})
    assert len(found) == 40
    assert "the references of this recipe grow without end" in found[0]
    assert faults({f"k{i}": "${x.a} ${x.b}" for i in range(6)} | {"x": {"a": 1, "b": 2}}) == []


def test_a_text_that_takes_long_to_read_is_not_read() -> None:
    assert faults({"a": "${b}" * 2_000, "b": 1})[0].startswith("a: found 8,000 characters with ${…}; at most 4,000")


@pytest.mark.parametrize("text", ["${oc.env:HF_TOKEN}", "x ${oc.env: WANDB_API_KEY,none}"])
def test_a_secret_of_the_environment_is_not_read_into_a_recipe(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "planted-value")
    (fault,) = faults({"a": text})
    assert "a recipe is kept in the run directory" in fault
    assert "planted-value" not in fault
