from __future__ import annotations

import math
from typing import Any

import pytest

from tunekit.recipe.schema import WatchSection
from tunekit.watch.loss import STUCK_STEPS, LossState, follow_loss, loss_text, must_stop, state_after

NAN = math.nan


def after(*losses: float, grad_norm: float | None = 1.0, vocabulary: int = 0, **watch: Any) -> tuple[LossState, bool]:
    """The state after these losses of steps 1, 2, …, and whether the run must stop."""
    limits, state = WatchSection.model_validate(watch), LossState()
    for step, loss in enumerate(losses, start=1):
        state = follow_loss(state, step, loss, grad_norm, limits, vocabulary=vocabulary)
    return state, must_stop(state, limits)


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_one_loss_that_is_no_number_stops_the_run(bad):
    state, stop = after(2.0, 1.9, bad)
    assert stop
    assert (state.fault, state.since, state.proven_below) == ("nan", 3, 2)


def test_a_gradient_that_is_not_finite_spoils_the_weights_as_well():
    assert after(2.0, grad_norm=NAN)[1]
    assert not after(2.0, grad_norm=None)[1]


def test_a_longer_patience_forgives():
    assert not after(2.0, NAN, NAN, 1.9, nan_loss_steps=3)[1]
    assert after(2.0, NAN, NAN, NAN, nan_loss_steps=3)[1]
    assert not after(NAN, NAN, NAN, nan_loss_steps="off")[1]


def test_a_loss_of_zero_again_and_again_stops_the_run():
    assert not after(2.0, 0.0, 0.0, 0.0, 0.0)[1]
    state, stop = after(2.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert stop
    assert (state.fault, state.since, state.proven_below) == ("zero", 2, 1)
    assert not after(2.0, *[1e-9] * 9)[1]
    assert not after(*[0.0] * 9, zero_loss_steps="off")[1]


def test_a_loss_that_runs_away_stops_the_run():
    usual = [2.0] * 20
    assert not after(*usual, *[9.0] * 4)[1]
    state, stop = after(*usual, 9.0, 12.0, 20.0, 30.0, 40.0)
    assert stop
    assert (state.fault, state.since, state.proven_below) == ("diverging", 21, 20)
    assert not after(*usual, *[7.9] * 9)[1]
    assert after(*usual, *[7.9] * 9, diverging_factor=3)[1]
    assert not after(*usual, *[99.0] * 9, diverging_factor="off")[1]


def test_what_runs_away_does_not_move_the_measure():
    state, _ = after(*[2.0] * 20, *[9.0] * 4)
    assert set(state.sound) == {2.0}


def test_a_single_spike_and_the_first_steps_are_no_divergence():
    assert not after(*[2.0] * 20, *[50.0, 2.0] * 9)[1]
    assert not after(0.5, *[9.0] * 9)[1]


def test_near_zero_several_times_the_median_is_still_nothing():
    assert not after(*[0.001] * 20, *[0.3] * 9)[1]


def test_another_fault_in_between_begins_anew_but_since_the_first():
    state, stop = after(2.0, 0.0, 0.0, NAN, nan_loss_steps=2)
    assert not stop
    assert (state.fault, state.since, state.count) == ("nan", 2, 1)


@pytest.mark.parametrize(
    ("losses", "text", "todo"),
    [
        ([2.0, NAN], "the loss is nan since step 2", "lower train.learning_rate (it is 0.01)"),
        ([2.0] + [0.0] * 5, "the loss is exactly 0 since step 2", "every label may be masked"),
        ([1.0] + [3.0] * 12, "is 3.0000 in every step since step 3", "warm up longer"),
        ([2.0] * 12 + [9.0] * 5, "diverges since step 13: 9.000, and 2.000 was usual", "warm up longer"),
    ],
)
def test_what_is_wrong_and_what_to_change_is_said(losses, text, todo):
    state, _ = after(*losses)
    said = loss_text(state, learning_rate=0.01)
    assert text in said[0]
    assert todo in said[1]


def test_a_bad_gradient_is_told_from_a_bad_loss():
    state, _ = after(2.0, grad_norm=math.inf)
    assert loss_text(state, learning_rate=1.0)[0] == "the gradient is not finite since step 1"


COLLAPSED = (4.80, 50.3, 54.4, 10.8027, 10.8027, 10.8027)
"""The first steps of a run whose learning rate was far too high; ln(49152) is 10.8027."""


def test_a_model_that_collapses_in_its_first_steps_is_noticed_before_checkpoints_rotate():
    state, stop = after(*COLLAPSED, vocabulary=49152)
    assert stop
    assert (state.fault, state.since, state.proven_below) == ("diverging", 2, 1)
    assert "54.4" not in loss_text(state, learning_rate=1.0)[0]
    assert "10.803, and 4.800 was usual before" in loss_text(state, learning_rate=1.0)[0]
    assert not after(*COLLAPSED[:-1], vocabulary=49152)[1]
    assert not after(*COLLAPSED, vocabulary=49152, diverging_factor="off")[1]


def test_a_model_that_begins_by_guessing_is_none_that_collapsed():
    assert not after(
        *(10.8 - step / 100 for step in range(8)), *(10.7 + step / 100 for step in range(8)), vocabulary=49152
    )[1]


def test_the_same_loss_again_and_again_above_an_earlier_one_stops_the_run():
    assert not after(2.0, *[5.0] * STUCK_STEPS)[1]
    state, stop = after(2.0, *[5.0] * (STUCK_STEPS + 1))
    assert stop
    assert (state.fault, state.since, state.proven_below) == ("stuck", 3, 2)
    assert not after(2.0, *[5.0] * STUCK_STEPS, 5.1)[1]
    assert not after(*[5.0] * 30)[1]
    assert after(18.5, *[10.8027] * (STUCK_STEPS + 1), vocabulary=49152)[1]


def test_a_run_that_has_learned_its_rows_by_heart_may_stay_there():
    assert not after(2.0, 0.0001, *[0.0002] * 30)[1]


def test_the_lowest_median_is_what_a_loss_is_held_against():
    crept = [value for level in (2.0, 4.0, 7.0) for value in [level - step / 1000 for step in range(50)]]
    state, stop = after(*crept, *[9.0, 9.1, 9.2, 9.3, 9.4])
    assert stop
    assert state.fault == "diverging"


def test_what_earlier_attempts_saw_is_remembered_beyond_the_window():
    state = state_after([2.0] * 20 + [NAN] + [5.0] * 60, 80)
    assert (state.usual, state.lowest, state.sound_step, len(state.sound)) == (2.0, 2.0, 80, 50)
