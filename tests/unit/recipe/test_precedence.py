from __future__ import annotations

import pytest

from tunekit.recipe.precedence import applies, set_aside


@pytest.mark.parametrize(
    ("kind", "kept"),
    [("full", {"kind"}), ("lora", {"kind", "rank"}), ("qlora", {"kind", "rank", "quantization"})],
)
def test_another_method_sets_aside_what_it_does_not_have(kind: str, kept: set[str]) -> None:
    below = {"method": {"kind": "qlora", "rank": 8, "quantization": "nf4"}}
    assert set(set_aside(below, {"method": {"kind": kind}})["method"]) == kept


@pytest.mark.parametrize(
    ("above", "kept"),
    [
        ({"preset": "z2"}, {"pin_memory", "preset"}),
        ({"config": "my.json"}, {"pin_memory", "config"}),
        ({"stage": 3}, {"pin_memory", "stage", "offload_param"}),
        ({"preset": "auto"}, {"pin_memory", "preset", "config", "stage", "offload_param"}),
        ({"preset": None}, {"pin_memory", "preset", "config", "stage", "offload_param"}),
        ({"pin_memory": True}, {"pin_memory", "preset", "config", "stage", "offload_param"}),
    ],
)
def test_another_way_to_say_zero_sets_the_others_aside(above: dict[str, object], kept: set[str]) -> None:
    below = {"zero": {"preset": "z3", "config": "x", "stage": 3, "offload_param": "cpu", "pin_memory": False}}
    assert set(set_aside(below, {"zero": above})["zero"]) == kept


def test_what_is_no_section_is_left_alone() -> None:
    assert set_aside({"method": 3, "zero": None, "a": 1}, {"method": {"kind": "full"}, "zero": 5}) == {
        "method": 3,
        "zero": None,
        "a": 1,
    }


def test_keys_apply_to_their_methods() -> None:
    assert [applies("rank", kind) for kind in ("full", "lora", "qlora")] == [False, True, True]
    assert [applies("double_quant", kind) for kind in ("full", "lora", "qlora")] == [False, False, True]
    assert applies("kind", "full")
