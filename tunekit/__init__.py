"""tunekit: will this fine-tuning job fit this machine? Then run it, with DeepSpeed.

`load` reads a recipe, `plan` says what would happen, `launch` makes it happen. Everything is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunekit.errors import DoesNotFit, MissingError, Problem, RecipeError, RunFailed, TunekitError, UsageError
    from tunekit.hardware.spec import Hardware
    from tunekit.memory.llamafactory_table import TableCheck
    from tunekit.memory.terms import MemoryEstimate, MemoryTerm
    from tunekit.model_shape.shape import ModelShape
    from tunekit.notebook import fit, launch, load, plan
    from tunekit.planner.plan import Decision, Fix, Plan
    from tunekit.planner.search_result import SearchResult
    from tunekit.recipe.job import Job
    from tunekit.recipe.schema import Recipe
    from tunekit.run import Run

__version__ = "0.1.0"

_HOMES = {
    "load": "tunekit.notebook",
    "plan": "tunekit.notebook",
    "fit": "tunekit.notebook",
    "launch": "tunekit.notebook",
    "Run": "tunekit.run",
    "Recipe": "tunekit.recipe.schema",
    "Job": "tunekit.recipe.job",
    "ModelShape": "tunekit.model_shape.shape",
    "Hardware": "tunekit.hardware.spec",
    "MemoryTerm": "tunekit.memory.terms",
    "MemoryEstimate": "tunekit.memory.terms",
    "TableCheck": "tunekit.memory.llamafactory_table",
    "Plan": "tunekit.planner.plan",
    "SearchResult": "tunekit.planner.search_result",
    "Decision": "tunekit.planner.plan",
    "Fix": "tunekit.planner.plan",
    "TunekitError": "tunekit.errors",
    "UsageError": "tunekit.errors",
    "RecipeError": "tunekit.errors",
    "Problem": "tunekit.errors",
    "DoesNotFit": "tunekit.errors",
    "MissingError": "tunekit.errors",
    "RunFailed": "tunekit.errors",
}

__all__ = [
    "DoesNotFit",
    "Decision",
    "Fix",
    "Hardware",
    "Job",
    "MemoryEstimate",
    "MemoryTerm",
    "MissingError",
    "ModelShape",
    "Plan",
    "Problem",
    "Recipe",
    "RecipeError",
    "Run",
    "RunFailed",
    "SearchResult",
    "TableCheck",
    "TunekitError",
    "UsageError",
    "__version__",
    "fit",
    "launch",
    "load",
    "plan",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunekit' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
