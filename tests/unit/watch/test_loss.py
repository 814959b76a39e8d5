from __future__ import annotations

import math
from typing import Any

import pytest

from tunekit.recipe.schema import WatchSection
from tunekit.watch.loss import LossState, follow_loss, loss_text, must_stop

NAN = math.nan


def after(*losses: float, grad_norm: float | None = 1.0, **watch: Any) -> tuple[LossState, bool]:
    """The state after these losses of steps 1, 2, …, and whether the run must stop."""
    limits, state = WatchSection.model_validate(watch), LossState()
    for step, loss in enumerate(losses, start=1):
        state = follow_loss(state, step, loss, grad_norm, limits)
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
