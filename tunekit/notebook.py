"""What a notebook or script calls: `load`, `plan`, `fit`, `launch`. No torch: ranks are processes of their own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tunekit.errors import Problem, RecipeError, TunekitError, UsageError
from tunekit.hardware.profiles import LOCAL, load_profile
from tunekit.hardware.spec import Hardware
from tunekit.planner.make import check_trust, make_plan
from tunekit.planner.plan import Plan, Trust
from tunekit.recipe.loading import ON, Check, LoadedRecipe, as_mapping, load_recipe, resolved_yaml
from tunekit.recipe.placing import placed, shown_name
from tunekit.recipe.schema import Recipe

if TYPE_CHECKING:
    from tunekit.model_shape.shape import ModelShape
    from tunekit.planner.search_result import Goal, SearchResult
    from tunekit.recipe.schema import MethodKind
    from tunekit.run import OnOom, Run

Source: TypeAlias = str | Path | Mapping[str, Any] | Recipe | LoadedRecipe
"""A recipe file, the name of a shipped recipe, a mapping, or a recipe that was loaded before."""
Overrides: TypeAlias = str | Sequence[str]
"""`key=value` texts, or one text with all of them."""


def load(source: Source, overrides: Overrides = ()) -> Recipe:
    """The recipe, validated. Raises RecipeError with every problem at once.

    `overrides` are `key=value` texts, or one text with spaces between, such as the `set` of a fix.
    """
    return read_source(source, overrides).recipe


def plan(source: Source, overrides: Overrides = (), *, on: str | Hardware | None = None, trust: Trust = "both") -> Plan:
    """What would happen: verdict, memory, batch, decisions, fixes. Starts nothing; a rejected plan is returned too.

    `on` plans for other hardware than the recipe names: a profile, a YAML file, `local`, or a `Hardware`.
    `trust` overrules one of the two judges: both, model or table.
    """
    return plan_loaded(read_source(source, overrides, on), on=on, trust=trust)


def launch(
    source: Source,
    overrides: Overrides = (),
    *,
    on: str | Hardware | None = None,
    trust: Trust = "both",
    wait: bool = True,
    quiet: bool = False,
    on_oom: OnOom = "stop",
) -> Run:
    """Plan a recipe and run it here, in processes of their own; with `wait`, watch it to its end and print the result.

    `on_oom` "retry": a run that is out of memory goes on with the smallest change that is known to fit.
    DoesNotFit: the plan was rejected. UsageError, MissingError: it cannot be started here. RunFailed: it failed.
    """
    from rich.console import Console

    from tunekit.backends.session import order
    from tunekit.run import start

    loaded = read_source(source, overrides, on)
    made = plan_loaded(loaded, on=on, trust=trust)
    console = Console(highlight=False, quiet=quiet, force_jupyter=False)
    run = start(order(made, loaded), wait=wait, console=console, on_oom=on_oom)
    if wait:
        run.show_result(console)
    return run


def fit(
    model: str,
    overrides: Overrides = (),
    *,
    on: str | Hardware | None = None,
    method: MethodKind | None = None,
    tokens: int | None = None,
    data: str | None = None,
    goal: Goal = "speed",
    trust: Trust = "both",
) -> SearchResult:
    """Search the ways to train a model on a machine and recommend one. Starts nothing; needs no GPU.

    `overrides` are keys of a recipe that are fixed, such as `train.max_seq_length=4096`; `method` full, lora or qlora,
    else all three are searched. Hours are told for `tokens`, for `data` times `train.num_epochs`, or for a million.
    UsageError: the machine has no GPU. MissingError: the model is not known here and the network does not have it.
    """
    from tunekit.planner.fit import find_plans
    from tunekit.planner.fit_recipe import check_goal, open_recipe, tokens_asked

    check_trust(trust)
    check_goal(goal)
    loaded = read_source(open_recipe(model, data=data, method=method), overrides, on)
    recipe, shape, hardware = _aim(loaded, on)
    count, said = tokens_asked(recipe, tokens=tokens, data=data)
    with _placing(loaded, recipe):
        return find_plans(recipe, shape, hardware, goal=goal, tokens=count, tokens_said=said, trust=trust)


def read_source(source: Source, overrides: Overrides = (), on: str | Hardware | None = None) -> LoadedRecipe:
    """The recipe with its text and path, whatever it was given as; `on` is the machine that was named beside it.

    RecipeError: every fault of the recipe, and with them a machine that there is none of.
    """
    if isinstance(overrides, str):
        overrides = shlex.split(overrides)
    if isinstance(source, LoadedRecipe):
        if not overrides:
            return source
        source = source.recipe
    if isinstance(source, Recipe):
        loaded = load_recipe(as_mapping(source, written_only=True), overrides, check=_machine_check(on))
        return LoadedRecipe(recipe=loaded.recipe, text=resolved_yaml(source), path=None, overrides=loaded.overrides)
    return load_recipe(source, overrides, check=_machine_check(on))


def _machine_check(on: str | Hardware | None) -> Check:
    """Whether there is such a machine as a faulty recipe, or `on`, names."""

    def check(content: Mapping[str, Any]) -> Iterator[Problem]:
        name = on if on is not None else content.get("hardware")
        if isinstance(name, str) and name != LOCAL:
            try:
                find_hardware(name)
            except (TunekitError, OSError) as error:
                found = str(error).removeprefix("hardware: ")
                yield Problem(key="hardware", found=found, where=ON if on is not None else "")

    return check


def plan_loaded(loaded: LoadedRecipe, *, on: str | Hardware | None = None, trust: Trust = "both") -> Plan:
    """Plan a recipe that was read; every problem carries the line it is about."""
    check_trust(trust)
    recipe, shape, hardware = _aim(loaded, on)
    with _placing(loaded, recipe):
        return make_plan(recipe, shape, hardware, trust=trust)


def _aim(loaded: LoadedRecipe, on: str | Hardware | None) -> tuple[Recipe, ModelShape, Hardware]:
    """The recipe naming its machine, the model's shape, and the machine."""
    from tunekit.hub import find_shape

    recipe = _aimed(loaded, on)
    with _about("hardware", loaded, place=ON if on else ""):
        hardware = on if isinstance(on, Hardware) else find_hardware(recipe.hardware)
    with _about("model.path", loaded):
        shape = find_shape(recipe.model.path, recipe.model.revision)
    return recipe, shape, hardware


@contextmanager
def _placing(loaded: LoadedRecipe, recipe: Recipe) -> Iterator[None]:
    """Give every problem of a recipe the line it is about."""
    try:
        yield
    except RecipeError as error:
        problems = placed(error.problems, loaded)
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
