"""What may come of a case: a clear refusal or a result, within seconds; anything else is a `Found`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Literal

from fuzz.mutating import Case
from planning import laptop

from tunekit.ds_config.build import build_ds_config
from tunekit.ds_config.check import check_ds_config
from tunekit.errors import TunekitError
from tunekit.hardware.profiles import load_profile
from tunekit.hardware.spec import Hardware
from tunekit.model_shape import catalogue
from tunekit.planner.make import make_plan
from tunekit.planner.plan_json import plan_from_json, plan_to_json
from tunekit.recipe.loading import load_text, resolved_yaml
from tunekit.recipe.schema import Recipe

LIMIT_SECONDS = 5.0
"""No recipe takes longer to load or to plan."""
LONGEST_MESSAGE = 200_000
"""A refusal that nobody could read would be none."""

Outcome = Literal["refused", "loaded", "fits", "tight", "rejected"]


class Found(Exception):
    """A case that ended in neither a refusal nor a result."""


class TooLong(BaseException):
    """Not an Exception: no `except Exception` on the way may swallow it."""


def load(case: Case) -> Outcome:
    """Load the case, and load again what comes out of it."""
    with judged(case):
        recipe = load_text(case.text, name="case.yaml", overrides=case.words)
        assert load_text(resolved_yaml(recipe)) == recipe, "the resolved recipe is another one"
        return "loaded"
    return "refused"


def plan(case: Case) -> Outcome:
    """Plan the case to the end: DeepSpeed's JSON is made and holds, the plan survives its own JSON."""
    with judged(case):
        recipe = load_text(case.text, name="case.yaml", overrides=case.words)
        shape = catalogue.find(recipe.model.path) or catalogue.find(catalogue.names()[0])
        assert shape is not None
        made = make_plan(recipe, shape, _hardware(recipe))
        config = build_ds_config(made.recipe, made.job, shape)
        problems = check_ds_config(config, source="the plan", world_size=made.job.batch.world_size)
        assert not problems, f"the plan makes a DeepSpeed JSON that it would refuse itself: {problems}"
        assert plan_from_json(json.dumps(plan_to_json(made))) == made, "the plan does not survive its own JSON"
        return made.verdict
    return "refused"


@contextmanager
def judged(case: Case) -> Iterator[None]:
    """A TunekitError with a message is an answer; any other exception, or five seconds, is a Found."""
    try:
        with within(LIMIT_SECONDS):
            yield
    except TunekitError as error:
        message = str(error)
        if not message.strip() or "Traceback" in message or len(message) > LONGEST_MESSAGE:
            raise Found(f"a refusal of {len(message)} characters: {message[:200]!r}\n{case!r}") from error
    except (Exception, TooLong) as error:
        raise Found(f"{type(error).__name__}: {str(error)[:500]}\n{case!r}") from error


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises TooLong in here when the time is up."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TooLong(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _hardware(recipe: Recipe) -> Hardware:
    return _local() if recipe.hardware == "local" else load_profile(recipe.hardware)


@cache
def _local() -> Hardware:
    return laptop()


JUDGES: dict[str, Callable[[Case], Outcome]] = {"loader": load, "planner": plan}
