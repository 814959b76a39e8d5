"""Whatever a DeepSpeed JSON says: it is planned with, or every fault is told with its line; never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import SMOLLM, machine, recipe_for, shape_of

from tunekit.ds_config.accepted_values import VALUES
from tunekit.ds_config.build import build_ds_config
from tunekit.ds_config.check import dotted_items
from tunekit.errors import RecipeError
from tunekit.planner.resolve import resolve

KEYS = sorted(key for key, accepts in VALUES.items() if accepts.kind != "section")
SECTIONS = sorted(key for key, accepts in VALUES.items() if accepts.kind == "section")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 4),
    st.integers(),
    st.floats(),
    st.sampled_from(["auto", "cpu", "nvme", "none", "x", "1e9", "", "\0", "\ud800", "AdamW", "/mnt/nvme"]),
    st.lists(st.floats(0, 2), max_size=3),
    st.dictionaries(st.sampled_from(["stage", "a"]), st.integers(0, 3), max_size=1),
)
FITTING = (
    *(True, False, 1, 2, 3, 0.5, 5e8, 64),
    *("cpu", "none", "AdamW", "mean", "bf16", "info", "step"),
    [0.9, 0.95],
)


@st.composite
def value_of(draw: st.DrawFn, key: str) -> Any:
    """Three times in four a value that may stand there, as far as one is known."""
    fitting = [value for value in FITTING if VALUES[key].takes(value)]
    odd = not fitting or draw(st.integers(0, 3)) == 0
    return draw(ODD) if odd else draw(st.sampled_from(fitting))


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for key in ["zero_optimization.stage", *draw(st.lists(st.sampled_from(KEYS + SECTIONS), max_size=6, unique=True))]:
        *above, name = key.split(".")
        section = config
        for part in above:
            section = section.setdefault(part, {}) if isinstance(section, dict) else {}
        if isinstance(section, dict):
            section[name] = draw(value_of(key))
    return config


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=files())
def test_a_file_is_planned_with_or_refused_with_its_lines(tmp_path: Path, config: dict[str, Any]) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")
    recipe = recipe_for(SMOLLM, "full", zero__config=str(path))
    try:
        found = resolve(recipe, shape_of(SMOLLM), machine())
    except RecipeError:
        return
    built = build_ds_config(found.settled.recipe, found.trial.job, found.settled.shape)
    assert "auto" not in dict(dotted_items(built)).values()


@pytest.mark.parametrize("key", KEYS)
def test_no_key_takes_a_section_and_none_takes_a_list_of_lists(key: str) -> None:
    assert not VALUES[key].takes({})
    assert not VALUES[key].takes([[]])
