"""A small part of `make fuzz`, the same cases every time: a refusal or a plan, never a traceback, never a hang."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from fuzz.judging import LIMIT_SECONDS, Found, TooLong, judged, load, plan, within
from fuzz.mutating import ODD_TEXTS, Case, shipped_texts, tame, wild
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunekit.backends.output import output_fault
from tunekit.ds_config.user_file import load_user_config
from tunekit.errors import RecipeError
from tunekit.hardware.profiles import load_profile
from tunekit.hub import check_data_path, local_model_dir
from tunekit.launcher.run_dir import RunDir
from tunekit.recipe.finding import find_recipe

QUIETLY = [HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large]
# A recipe holds no NUL: the schema refuses it.
PATHS = (st.sampled_from(ODD_TEXTS) | st.text(max_size=60) | st.text(st.sampled_from("~/.a"), max_size=400)).filter(
    lambda text: "\0" not in text
)
seeds = st.integers(0, 2**64 - 1).map(Random)


@given(seeds)
@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=QUIETLY)
def test_a_wild_recipe_is_loaded_or_refused(random: Random) -> None:
    load(wild(random))


@given(seeds)
@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=QUIETLY)
def test_a_tame_recipe_is_planned_or_refused(random: Random) -> None:
    plan(tame(random))


def test_the_cases_are_not_all_alike() -> None:
    loaded = [load(wild(Random(seed))) for seed in range(200)]
    planned = {plan(tame(Random(seed))) for seed in range(25)}
    assert 5 < loaded.count("loaded") < 150
    assert planned >= {"refused", "rejected", "fits"}


def test_every_shipped_recipe_is_where_they_start_from() -> None:
    assert len(shipped_texts()) >= 20
    assert {load(Case(text=text)) for text in shipped_texts()} == {"loaded"}


def test_the_same_number_is_the_same_case() -> None:
    assert wild(Random(7)) == wild(Random(7)) != wild(Random(8))


def test_what_is_neither_an_answer_nor_in_time_is_found() -> None:
    with pytest.raises(Found, match="KeyError"), judged(Case(text="x")):
        raise KeyError("x")
    with pytest.raises(Found, match="refusal"), judged(Case(text="x")):
        raise RecipeError([], source="Traceback")
    with pytest.raises(TooLong), within(0.01):
        _never_ends()
    assert LIMIT_SECONDS == 5.0


def _never_ends() -> None:
    while True:
        pass


@given(PATHS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_text_may_be_typed_where_a_path_is_meant(text: str) -> None:
    looks: tuple[Callable[[], object], ...] = (
        lambda: find_recipe(text),
        lambda: local_model_dir(text),
        lambda: check_data_path(text),
        lambda: load_profile(text, Path("no/such/folder")),
        lambda: load_user_config(text),
        lambda: output_fault(RunDir(Path(os.path.expanduser(text)).absolute())),
    )
    for look in looks:
        with judged(Case(text=text)):
            look()
