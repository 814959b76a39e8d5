"""The doctor's visit: reads this machine, plans the recipe, tries what only trying shows, and asks every check."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tunekit import hub
from tunekit.backends.facts import gather_facts, torch_cuda
from tunekit.backends.session import bytes_to_fetch, order
from tunekit.backends.toolchain import read_toolchain
from tunekit.backends.trials import run_trials
from tunekit.doctor.case import Case, Refusal
from tunekit.doctor.disks import OUTPUT, SWAP, TEMPORARY
from tunekit.doctor.examine import examine, launch_warnings
from tunekit.doctor.finding import Finding
from tunekit.doctor.readings import Readings, Told
from tunekit.errors import MissingError, RecipeError, TunekitError, UnknownFamily
from tunekit.hardware.profiles import LOCAL
from tunekit.launcher.build import checked_ds_config
from tunekit.launcher.caller import Caller, missing_modules, this_caller
from tunekit.launcher.environment import extensions_dir
from tunekit.launcher.preflight import Facts, find_faults
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.versions import version_faults
from tunekit.oversight import can_be_told
from tunekit.planner.plan import Plan, Trust
from tunekit.probes.card_states import read_cards
from tunekit.probes.model_files import read_model_files
from tunekit.probes.op_cache import read_nvcc, read_op_cache
from tunekit.probes.places import read_host_memory, read_places
from tunekit.probes.surroundings import read_surroundings
from tunekit.recipe.loading import LoadedRecipe
from tunekit.run import this_machine
from tunekit.source import find_hardware, plan_loaded

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is examined: a recipe or only the machine, and how its plan is made."""

    loaded: LoadedRecipe | None = None
    typed: str = ""
    """The recipe and its overrides as they were typed."""
    on: str | None = None
    trust: str = "both"
    master_port: int | None = None


def look_at(asked: Asked, *, report: Report) -> Case:
    """Everything that reading tells of this machine and the recipe, in about a second. Starts nothing that trains."""
    caller = this_caller()
    report("planning the recipe" if asked.loaded else "looking at this machine")
    plan, refusal = _plan(asked)
    if plan is not None and (fault := _ds_config_fault(plan)):
        plan, refusal = None, Refusal(check="ds_config", text=fault)
    report("looking at this machine")
    hardware = plan.hardware if plan and plan.hardware.name == LOCAL else find_hardware(LOCAL)
    facts = None if plan is None else _facts(asked, plan, caller)
    return Case(
        readings=read_machine(plan, caller, ask_hub=True),
        hardware=hardware,
        caller=caller,
        typed=asked.typed,
        plan=plan,
        refusal=refusal,
        faults=tuple(find_faults(plan, facts)) if plan and facts else (),
        needs=facts.needs if facts else (),
    )


def check_up(asked: Asked, *, report: Report) -> tuple[Finding, ...]:
    """Every finding, after everything was read and tried; each trial in a process of its own with its own limit."""
    return examine(with_trials(look_at(asked, report=report), report=report))


def with_trials(case: Case, *, report: Report) -> Case:
    """The case with what was tried."""
    return replace(case, trials=run_trials(case, report=report))


def doubts(plan: Plan) -> tuple[Finding, ...]:
    """What a launch of `plan` should say before it starts; what it refuses it says by itself. Tries nothing."""
    caller = this_caller()
    readings = read_machine(plan, caller, ask_hub=False)
    return launch_warnings(Case(readings=readings, hardware=plan.hardware, caller=caller, plan=plan))


def read_machine(plan: Plan | None, caller: Caller, *, ask_hub: bool) -> Readings:
    """Everything that the checks ask of this machine. `ask_hub`: a model that is not here is asked for at the hub."""
    toolchain, cards = read_toolchain(caller), read_cards()
    swaps = frozenset({SWAP})
    return Readings(
        cards=cards,
        surroundings=read_surroundings(caller.environ),
        memory=read_host_memory(),
        places=read_places(_folders(plan, caller), direct=swaps),
        toolchain=toolchain,
        ops=read_op_cache(extensions_dir(caller)),
        missing_modules=missing_modules(),
        version_faults=version_faults(caller.python_version, caller.versions),
        torch_cuda=torch_cuda(),
        nvcc=read_nvcc(toolchain.cuda_home),
        model=None if plan is None else read_model_files(plan.recipe.model, ask_hub=ask_hub),
        told=Told() if plan is None else can_be_told(plan, caller.environ),
    )


def _plan(asked: Asked) -> tuple[Plan | None, Refusal | None]:
    """The plan, or why there is none; what is wrong with the file itself was said before."""
    if asked.loaded is None:
        return None, None
    try:
        return plan_loaded(asked.loaded, on=asked.on, trust=cast("Trust", asked.trust)), None
    except UnknownFamily as error:
        return None, Refusal(check="model_config", text=str(error))
    except MissingError as error:
        return None, Refusal(check="model_files", text=str(error))
    except TunekitError as error:
        return None, Refusal(check="combinations", text=str(error))


def _ds_config_fault(plan: Plan) -> str:
    try:
        checked_ds_config(plan)
    except RecipeError as error:
        return str(error)
    return ""


def _facts(asked: Asked, plan: Plan, caller: Caller) -> Facts:
    assert asked.loaded is not None
    run_dir: RunDir = order(plan, asked.loaded).run_dir
    return gather_facts(
        plan,
        run_dir=run_dir,
        caller=caller,
        machine=this_machine(plan.hardware),
        model_bytes_to_fetch=bytes_to_fetch(plan),
        wanted_port=asked.master_port,
    )


def _folders(plan: Plan | None, caller: Caller) -> Iterator[tuple[str, Path]]:
    """(what, where) of everything that is written."""
    if plan is None:
        yield "this folder", Path(caller.cwd)
    else:
        yield OUTPUT, Path(plan.recipe.output.dir).expanduser()
    yield "hub cache", hub.hub_of(caller.environ).cache
    yield "compiled ops", extensions_dir(caller)
    yield TEMPORARY, Path(tempfile.gettempdir())
    zero = None if plan is None else plan.job.zero
    if zero and zero.nvme_path and "nvme" in (zero.offload_optimizer, zero.offload_param):
        yield SWAP, Path(zero.nvme_path).expanduser()
