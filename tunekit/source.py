"""From what a user gives to a plan: a recipe in any form, read, aimed at a machine, and every problem with its line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tunekit.errors import Problem, RecipeError, TunekitError, UsageError
from tunekit.hardware.profiles import LOCAL, load_profile
from tunekit.hardware.spec import Hardware
from tunekit.planner.make import check_trust, make_plan
from tunekit.planner.plan import Plan, Trust
from tunekit.recipe.loading import MAPPING, ON, Check, LoadedRecipe, as_mapping, load_recipe, resolved_yaml
from tunekit.recipe.origin import Origin
from tunekit.recipe.overrides import retyped
from tunekit.recipe.placing import placed, shown_name
from tunekit.recipe.schema import Recipe

if TYPE_CHECKING:
    from tunekit.model_shape.shape import ModelShape

Source: TypeAlias = str | Path | Mapping[str, Any] | Recipe | LoadedRecipe
"""A recipe file, the name of a shipped recipe, a mapping, or a recipe that was loaded before."""
Overrides: TypeAlias = str | Sequence[str]
"""`key=value` texts, or one text with all of them."""


def read_source(
    source: Source, overrides: Overrides = (), on: str | Hardware | None = None, *, name: str = MAPPING
) -> LoadedRecipe:
    """The recipe with its text and path, whatever it was given as; `on` is the machine that was named beside it.

    `name` is what messages call a mapping.
    RecipeError: every fault of the recipe, and with them a machine that there is none of.
    """
    overrides = words_of(overrides)
    if isinstance(source, LoadedRecipe):
        if not overrides:
            return source
        source = source.recipe
    if isinstance(source, Recipe):
        loaded = load_recipe(as_mapping(source, written_only=True), overrides, check=_other_faults(on))
        return replace(loaded, text=resolved_yaml(source))
    return load_recipe(source, overrides, check=_other_faults(on), name=name)


def words_of(overrides: Overrides) -> Sequence[str]:
    """The `key=value` texts, however they were given."""
    return shlex.split(overrides) if isinstance(overrides, str) else overrides


def _other_faults(on: str | Hardware | None) -> Check:
    """Whether there are such a machine as a faulty recipe, or `on`, names, and such data."""

    def check(content: Mapping[str, Any]) -> Iterator[Problem]:
        name = on if on is not None else content.get("hardware")
        if isinstance(name, str) and name != LOCAL:
            try:
                find_hardware(name)
            except (TunekitError, OSError) as error:
                found = str(error).removeprefix("hardware: ")
                yield Problem(key="hardware", found=found, where=ON if on is not None else "")
        data = content.get("data")
        path = data.get("path") if isinstance(data, Mapping) else None
        if isinstance(path, str):
            yield from _no_data(path)

    return check


def _no_data(path: str) -> Iterator[Problem]:
    from tunekit.hub import check_data_path

    try:
        check_data_path(path)
    except (TunekitError, OSError) as error:
        yield Problem(key="data.path", found=str(error).removeprefix("data.path: "))


def plan_loaded(loaded: LoadedRecipe, *, on: str | Hardware | None = None, trust: Trust = "both") -> Plan:
    """Plan a recipe that was read; every problem carries the line it is about."""
    check_trust(trust)
    recipe, shape, hardware = aim(loaded, on)
    with placing(loaded, recipe):
        return make_plan(recipe, shape, hardware, trust=trust, origin=aimed_origin(loaded, on))


def aim(loaded: LoadedRecipe, on: str | Hardware | None) -> tuple[Recipe, ModelShape, Hardware]:
    """The recipe naming its machine, the model's shape, and the machine."""
    from tunekit.hub import find_shape

    recipe = _aimed(loaded, on)
    with _about("hardware", loaded, place=ON if on else ""):
        hardware = on if isinstance(on, Hardware) else find_hardware(recipe.hardware)
    with _about("model.path", loaded):
        shape = find_shape(recipe.model.path, recipe.model.revision)
    return recipe, shape, hardware


def aimed_origin(loaded: LoadedRecipe, on: str | Hardware | None) -> Origin:
    """What the recipe was made of, the machine that was named beside it among the words."""
    machine = [] if on is None else [f"hardware={on.name if isinstance(on, Hardware) else on}"]
    return replace(loaded.origin, typed=retyped(loaded.overrides, machine))


@contextmanager
def placing(loaded: LoadedRecipe, recipe: Recipe) -> Iterator[None]:
    """Give every problem of a recipe the line it is about."""
    try:
        yield
    except RecipeError as error:
        problems = placed((*error.problems, *_no_data(recipe.data.path)), loaded)
        raise RecipeError(problems, source=_faulty_file(problems, recipe) or shown_name(loaded)) from None


def _faulty_file(problems: Sequence[Problem], recipe: Recipe) -> str | None:
    """The DeepSpeed JSON of the user's own where every problem stands in it."""
    file = recipe.zero.config
    return file if file and all(problem.where.startswith(file) for problem in problems) else None


@contextmanager
def _about(key: str, loaded: LoadedRecipe, *, place: str = "") -> Iterator[None]:
    """Say where the recipe names what cannot be had; a file with faults of its own says where they are."""
    try:
        yield
    except RecipeError:
        raise
    except (TunekitError, OSError) as error:
        # OSError: a text too long for a file name, a folder that may not be read.
        kind = type(error) if isinstance(error, TunekitError) else UsageError
        (problem,) = placed([Problem(key=key, found=str(error).removeprefix(f"{key}: "), where=place)], loaded)
        raise kind(str(problem)) from error


def _aimed(loaded: LoadedRecipe, on: str | Hardware | None) -> Recipe:
    """The recipe naming the hardware it is planned for, so that plan, launch and run directory agree."""
    if on is None:
        return loaded.recipe
    name = on.name if isinstance(on, Hardware) else on
    typed = [word.partition("=")[2] for word in loaded.overrides if word.startswith("hardware=")]
    if typed and typed[-1] != name:
        raise UsageError(f"--on {name} and hardware={typed[-1]} name two machines; type one of them.")
    return loaded.recipe.model_copy(update={"hardware": name})


def find_hardware(name: str) -> Hardware:
    """A profile, shipped or the user's own, a YAML file, or this machine. Raises UsageError with the nearest names."""
    from tunekit.probes.user_folder import machines_folder, with_own_figures

    folder = machines_folder()
    if name == LOCAL:
        from tunekit.probes.calibration_file import calibrated_hardware
        from tunekit.probes.local import probe_hardware

        return calibrated_hardware(with_own_figures(probe_hardware(), folder))
    return load_profile(name, folder)
