"""A small part of `make fuzz`, the same cases every time: a refusal or a plan, never a traceback, never a hang."""

from __future__ import annotations

from random import Random

import pytest
from fuzz.judging import LIMIT_SECONDS, Found, TooLong, judged, load, plan, within
from fuzz.mutating import Case, shipped_texts, tame, wild
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunekit.errors import RecipeError

QUIETLY = [HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large]
seeds = st.integers(0, 2**64 - 1).map(Random)


@given(seeds)
@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=QUIETLY)
def test_a_wild_recipe_is_loaded_or_refused(random: Random) -> None:
    load(wild(random))


@given(seeds)
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=QUIETLY)
def test_a_tame_recipe_is_planned_or_refused(random: Random) -> None:
    plan(tame(random))


def test_the_cases_are_not_all_alike() -> None:
    loaded = [load(wild(Random(seed))) for seed in range(200)]
    planned = {plan(tame(Random(seed))) for seed in range(40)}
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
