"""A plan as JSON and back. `tunekit/planner/README.md` describes the format; `plan_schema` gives it as JSON Schema.

The JSON holds every field of `Plan` under its own name, and beside them a few totals for readers that should not have
to add up: `model_shape.num_parameters`, `model_shape.num_trainable_parameters` and `batch`. Reading ignores these.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tunekit.errors import UsageError
from tunekit.planner.plan import FORMAT_VERSION, Plan
from tunekit.speed.lengths import positions_per_step, tokens_per_step

_COUNT = {"type": "integer", "minimum": 0}
_SIZE = {"type": "integer", "minimum": 1}
_BATCH = (
    "micro_batch_size",
    "gradient_accumulation_steps",
    "world_size",
    "global_batch_size",
    "tokens_per_step",
    "positions_per_step",
)


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values: the same on every machine for the same recipe, model and declared hardware."""
    tree: dict[str, Any] = _adapter().dump_python(plan, mode="json")
    tree["batch"] = _batch(plan)
    totals = {
        "num_parameters": plan.model_shape.num_parameters,
        "num_trainable_parameters": plan.num_trainable_parameters,
    }
    tree["model_shape"] = {**totals, **tree["model_shape"]}
    return tree


def plan_from_json(text: str) -> Plan:
    """The plan that `plan_to_json` wrote; equal to the one it was made from. Raises UsageError for anything else."""
    try:
        plan = _adapter().validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(f"this is not a plan that tunekit wrote: {place}: {first['msg']}") from error
    if plan.format_version != FORMAT_VERSION:
        found = f"the plan has format {plan.format_version}, this tunekit reads format {FORMAT_VERSION}"
        raise UsageError(f"{found}; plan the recipe again")
    return plan


def plan_schema() -> dict[str, Any]:
    """JSON Schema of what `plan_to_json` gives."""
    schema: dict[str, Any] = _adapter().json_schema(mode="serialization")
    schema["title"] = "tunekit plan"
    schema["properties"]["batch"] = {
        "type": "object",
        "properties": {name: _SIZE for name in _BATCH},
        "required": list(_BATCH),
    }
    schema["required"] = [*schema["properties"]]
    shape = schema["$defs"]["ModelShape"]
    shape["properties"].update(num_parameters=_COUNT, num_trainable_parameters=_COUNT)
    shape["required"] += ["num_parameters", "num_trainable_parameters"]
    return schema


def _batch(plan: Plan) -> dict[str, int]:
    batch = plan.job.batch
    sizes = (
        batch.micro_batch_size,
        batch.gradient_accumulation_steps,
        batch.world_size,
        batch.global_batch_size,
        tokens_per_step(plan.job),
        positions_per_step(plan.job),
    )
    return dict(zip(_BATCH, sizes, strict=True))
