"""The table of values: it covers every accepted key and takes what the shipped presets say."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.ds_config.accepted import REMOVED, SECTIONS, TOP_LEVEL
from tunekit.ds_config.accepted_values import FILLED, VALUES, Accepts
from tunekit.recipe.keys import Bounds

GOOD: dict[str, tuple[Any, ...]] = {
    "flag": (True, False),
    "whole number": (1, 5e8),
    "count": (1, 4096),
    "number": (1, 0.5),
    "pair": ([0.9, 0.5],),
    "text": ("/fast", "Wörter"),
    "texts": ("a.B", ["a.B", "c"], []),
    "section": ({}, {"a": 1}),
}
BAD: dict[str, tuple[Any, ...]] = {
    "flag": (0, 1, "true", [], {}),
    "whole number": (True, 1.5, "1", "1e9", [], -1, 10**13, 1e300, 10**299),
    "count": (True, 1.0, "1", {}, -1),
    "number": (True, "0.5", [], -0.1),
    "pair": ([0.9], [0.9, "a"], 0.9, [0.9, 0.9, 0.9], [True, 0.9]),
    "text": (3, True, [], "a\0", "\ud800"),
    "texts": (3, [3], {}),
    "section": ([], True, 1, "x"),
}


def test_every_accepted_key_has_its_value() -> None:
    accepted = {*TOP_LEVEL, *(f"{name}.{key}" for name, keys in SECTIONS.items() for key in keys)}
    inner = {key for key in VALUES if key.startswith("optimizer.params.")}
    assert set(VALUES) - inner == accepted
    assert not set(VALUES) & set(REMOVED)


def test_what_a_plan_fills_are_keys_and_sections() -> None:
    for name in FILLED:
        assert name in VALUES or VALUES[name.rstrip(".")].kind == "section"


@pytest.mark.parametrize("kind", GOOD)
def test_kinds(kind: Any) -> None:
    accepts = Accepts(kind=kind, bounds=Bounds(least=0))
    assert all(accepts.takes(value) for value in GOOD[kind])
    assert not any(accepts.takes(value) for value in (*BAD[kind], None))


def test_null_is_taken_where_it_means_not_set() -> None:
    assert Accepts(kind="count", null=True).takes(None)
    assert VALUES["zero_optimization.offload_param"].takes(None)
    assert not VALUES["zero_optimization"].takes(None)


def test_choices_are_taken_in_any_case() -> None:
    accepts = VALUES["communication_data_type"]
    assert accepts.takes("BF16")
    assert not accepts.takes("int8")
    assert accepts.words == "fp16, bf16 or fp32"


def test_words_name_the_limits() -> None:
    assert VALUES["zero_optimization.offload_optimizer.ratio"].words == "a number, above 0 to 1"
    assert VALUES["bf16.enabled"].words == "true or false"
