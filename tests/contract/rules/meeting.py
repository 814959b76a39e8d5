"""How tunekit meets a rule: refused, warned of, no words for it, a fixed value, or kept by another test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from planning import laptop, machine, shape_of

from tunekit.errors import Problem, RecipeError
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.recipe.loading import load_recipe

SMOLLM = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a user says: keys of a recipe, a DeepSpeed JSON, on two RTX 4090 or on CPU processes."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    model: str = SMOLLM
    on: str = "dual_rtx4090"

    def plan(self, folder: Path) -> Plan:
        """The plan. RecipeError: refused."""
        tree: dict[str, Any] = {"model": {"path": self.model}, "data": {"path": "d.jsonl"}, "output": {"dir": "o"}}
        given = dict(self.keys)
        if self.json is not None:
            path = folder / "ds.json"
            path.write_text(json.dumps(self.json))
            given["zero.config"] = str(path)
        for key, value in given.items():
            section, _, name = key.partition(".")
            tree.setdefault(section, {})[name] = value
        recipe = load_recipe(tree).recipe
        return make_plan(recipe, shape_of(self.model), laptop() if self.on == "cpu" else machine(self.on))

    def problems(self, folder: Path) -> tuple[Problem, ...]:
        """Why it is refused; empty where it is not."""
        try:
            self.plan(folder)
        except RecipeError as error:
            return error.problems
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A problem under this key, before anything is started."""

    key: str
    said: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The plan is made, and its verdict is no."""

    said: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A warning of the plan with these words."""

    words: str
    said: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWords:
    """No key of a recipe says it: these `key=value` are refused as unknown."""

    typed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The trainer's argument always has this value."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Another test keeps it: `path::name`."""

    test: str


Met: TypeAlias = Refused | Rejected | Warned | NoWords | Fixed | Kept


def refused(key: str, keys: Mapping[str, Any] | None = None, **more: Any) -> Refused:
    """Refused under `key` when these keys of a recipe are said."""
    return Refused(key=key, said=Said(keys=keys or {}, **more))


def in_json(key: str, config: Mapping[str, Any], keys: Mapping[str, Any] | None = None, **more: Any) -> Refused:
    """Refused under `key` when a DeepSpeed JSON says so."""
    return Refused(key=key, said=Said(keys=keys or {}, json=config, **more))


def warned(words: str, keys: Mapping[str, Any] | None = None, **more: Any) -> Warned:
    """Warned of with these words."""
    return Warned(words=words, said=Said(keys=keys or {}, **more))


def no_words(*typed: str) -> NoWords:
    """Not to be said in a recipe."""
    return NoWords(typed=typed)
