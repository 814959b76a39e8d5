"""What a notebook or script calls: `load`, `plan`, `fit`, `launch`. No torch: ranks are processes of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tunekit.hardware.spec import Hardware
from tunekit.planner.make import check_trust
from tunekit.planner.plan import Plan, Trust
from tunekit.recipe.schema import Recipe
from tunekit.source import Overrides, Source, aim, aimed_origin, placing, plan_loaded, read_source

if TYPE_CHECKING:
    from tunekit.planner.search_result import Goal, SearchResult
    from tunekit.recipe.schema import MethodKind
    from tunekit.run import OnOom, Run


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
    from tunekit.planner.fit import search_for
    from tunekit.planner.fit_recipe import check_goal, open_recipe, refuse_two_answers, tokens_asked
    from tunekit.planner.ways import Asked, Length
    from tunekit.prices.hourly import hourly_of
    from tunekit.prices.loading import load_prices

    check_trust(trust)
    check_goal(goal)
    loaded = read_source(open_recipe(model, data=data, method=method), overrides, on, name=f"fit {model}")
    refuse_two_answers(loaded.recipe, model=model, data=data, method=method)
    recipe, shape, hardware = aim(loaded, on)
    count, said = tokens_asked(recipe, shape.vocab_size, tokens=tokens, data=data)
    with placing(loaded, recipe):
        found = search_for(
            Asked(
                origin=aimed_origin(loaded, on),
                recipe=recipe,
                shape=shape,
                hardware=hardware,
                goal=goal,
                length=Length(tokens=count, said=said, by_epochs=data is not None),
                trust=trust,
            )
        )
    return replace(found, hourly=hourly_of(hardware, load_prices())) if goal == "cost" else found
