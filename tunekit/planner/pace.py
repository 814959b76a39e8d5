"""How fast a planned job is, and what its steps take where the recipe says how many there are."""

from __future__ import annotations

from dataclasses import replace

from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.recipe.schema import Recipe
from tunekit.speed.estimate import estimate_speed
from tunekit.speed.run import run_cost
from tunekit.speed.terms import SpeedEstimate


def pace(recipe: Recipe, job: Job, shape: ModelShape, hardware: Hardware) -> SpeedEstimate | None:
    """The speed of a job, with hours and energy of `train.max_steps`; None where no estimate is possible.

    The steps of `train.num_epochs` are not known before the data is read.
    """
    speed = estimate_speed(job, shape, hardware)
    steps = recipe.train.max_steps
    return speed if speed is None or steps is None else replace(speed, run=run_cost(speed, steps, hardware))
