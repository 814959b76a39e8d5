"""From a plan that fits to running processes: look, fetch, write the run directory, prepare, start."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tunekit import hub
from tunekit.backends.base import Backend, Process
from tunekit.backends.facts import gather_facts, ops_to_build
from tunekit.backends.output import command_anew, output_fault
from tunekit.backends.preparation import Report, describe_work, prepare
from tunekit.backends.processes import is_alive
from tunekit.errors import UsageError
from tunekit.launcher.attempts import archive_attempt, last_attempt, next_attempt
from tunekit.launcher.build import Attempt, build_request, checked_ds_config, prepare_argv, recipe_text
from tunekit.launcher.caller import Caller
from tunekit.launcher.checkpoints import Checkpoint, list_checkpoints, newest_complete
from tunekit.launcher.devices import VARIABLE, chosen_devices
from tunekit.launcher.exit_codes import STOPPED
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.outcome import RunResult, write_result
from tunekit.launcher.ports import choose_port, preferred_port
from tunekit.launcher.preflight import Fault, Machine, find_faults, is_for_another_machine, refuse
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import is_run, read_plan, read_state
from tunekit.planner.plan import Plan
from tunekit.recipe.loading import LoadedRecipe
from tunekit.recipe.shipped import existing_path

BYTES_PER_WEIGHT = 2
"""Of the files on the hub: 16-bit weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of a plan: `resume_from` is the checkpoint to go on from, `wanted_port` the user's own port."""

    plan: Plan
    recipe_text: str
    run_dir: RunDir
    wanted_port: int | None = None
    resume_from: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What must happen before the ranks start: bytes of the model and data sets to fetch, ops to compile, a file to
    convert; `not_here` says why this machine cannot start a plan that is for another one. `first_port`: the start takes
    the first free port from this one on; None where the user named the port.
    """

    fetch_bytes: int = 0
    fetch_data: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    convert: str | None = None
    not_here: tuple[str, ...] = ()
    first_port: int | None = None


def order(plan: Plan, loaded: LoadedRecipe, *, wanted_port: int | None = None) -> Start:
    """The first start of a recipe, into the run directory that it names."""
    run_dir = RunDir(Path(plan.recipe.output.dir).expanduser().absolute())
    return Start(plan=plan, recipe_text=recipe_text(loaded), run_dir=run_dir, wanted_port=wanted_port)


def dry_run(start: Start, caller: Caller, machine: Machine) -> tuple[LaunchRequest, Before, tuple[Fault, ...]]:
    """What `start_run` would start, what it would do before, and what it would refuse. Starts and writes nothing.

    UsageError: what was typed is wrong, as `start_run` says it. What this machine lacks is returned; for a plan that is
    for another machine it is a remark, no fault.
    """
    plan, run_dir = start.plan, start.run_dir
    faults = look(start, caller, machine)
    elsewhere = is_for_another_machine(plan, machine)
    if any(fault.kind == "usage" for fault in faults):
        refuse(faults)
    attempt = Attempt(
        number=last_attempt(run_dir) + 1 if is_run(run_dir) else next_attempt(run_dir),
        master_port=start.wanted_port or preferred_port(plan.recipe.output.dir),
        devices=() if faults else _devices(plan, caller, machine),
        offline=reads_only_this_disk(plan),
    )
    request = build_request(plan, recipe_text=start.recipe_text, run_dir=run_dir, caller=caller, attempt=attempt)
    before = Before(
        fetch_bytes=bytes_to_fetch(plan),
        fetch_data=data_to_fetch(plan),
        ops=ops_to_build(plan, caller),
        convert=model_to_convert(plan),
        not_here=tuple(fault.text for fault in faults) if elsewhere else (),
        first_port=preferred_port(plan.recipe.output.dir) if start.wanted_port is None else None,
    )
    return request, before, () if elsewhere else faults


def look(start: Start, caller: Caller, machine: Machine) -> tuple[Fault, ...]:
    """Every reason not to start here and now. RecipeError: DeepSpeed would not take the configuration."""
    checked_ds_config(start.plan)
    facts = gather_facts(
        start.plan,
        run_dir=start.run_dir,
        caller=caller,
        machine=machine,
        model_bytes_to_fetch=bytes_to_fetch(start.plan),
        wanted_port=start.wanted_port,
        resumes=start.resume_from is not None,
    )
    return tuple(find_faults(start.plan, facts))


def start_run(start: Start, *, caller: Caller, machine: Machine, backend: Backend, report: Report) -> Process:
    """Start the processes of a new attempt, in the caller's folder, from which the recipe's paths are seen.

    UsageError or MissingError with every reason, before anything is written, when the run cannot be started here.
    """
    with chdir(caller.cwd):
        return _start_here(start, caller, machine, backend, report)


def _start_here(start: Start, caller: Caller, machine: Machine, backend: Backend, report: Report) -> Process:
    plan, run_dir = start.plan, start.run_dir
    report("looking at this machine")
    refuse(look(start, caller, machine))
    devices = _devices(plan, caller, machine)
    fetch(plan, report)
    with _alone(start):
        number = archive_attempt(run_dir, with_plan=start.resume_from is None)
        attempt = Attempt(
            number=number,
            master_port=choose_port(plan.recipe.output.dir, wanted=start.wanted_port),
            resume_from=start.resume_from,
            devices=devices,
            offline=reads_only_this_disk(plan),
        )
        request = build_request(plan, recipe_text=start.recipe_text, run_dir=run_dir, caller=caller, attempt=attempt)
        write_files(request)
        with _recorded(run_dir, number):
            prepare_what_is_missing(plan, request, run_dir, caller, report)
            report("starting deepspeed")
            return backend.start(request, run_dir)


def resumable(run_dir: RunDir, caller: Caller) -> tuple[Start, Caller]:
    """What `resume` starts: the stored plan from its newest complete checkpoint, in the folder it was started in.

    UsageError: not a run, going on, done, without a complete checkpoint, or that folder is gone; with what to do.
    """
    if not is_run(run_dir):
        raise UsageError(f"{run_dir.path} is not a run directory; `tunekit runs` lists the runs.")
    state = read_state(run_dir, alive=is_alive(run_dir))
    if state in ("running", "preparing"):
        raise UsageError(f"{run_dir.path} is {state}; `tunekit stop {run_dir.path}` ends it.")
    if state == "done":
        raise UsageError(f"{run_dir.path} is done; its result lies in {run_dir.final}.")
    plan = read_plan(run_dir)
    checkpoint = _checkpoint_to_resume(run_dir, plan)
    cwd = str((read_record(run_dir.launch) or {}).get("cwd", caller.cwd))
    if not Path(cwd).is_dir():
        raise UsageError(
            f"{run_dir.path} was started in {cwd}, which is not there: paths in its recipe are seen from it."
        )
    start = Start(plan=plan, recipe_text=run_dir.recipe.read_text(), run_dir=run_dir, resume_from=checkpoint.path)
    return start, replace(caller, cwd=cwd)


def fetch(plan: Plan, report: Report) -> None:
    """Bring model and data to this disk, once, before the ranks start."""
    model, data = plan.recipe.model, plan.recipe.data
    if hub.local_model_dir(model.path, model.revision) is None:
        report(f"fetching {model.path}")
        hub.fetch_model(model.path, model.revision, say=report)
    if reads_only_this_disk(plan):
        for path in (data.path, data.eval_path):
            if path is not None:
                hub.fetch_data(path, name=data.name)


def bytes_to_fetch(plan: Plan) -> int:
    """Bytes of the model that are not on this disk yet."""
    model = plan.recipe.model
    here = hub.local_model_dir(model.path, model.revision) or hub.gguf_source(model.path)
    return 0 if here is not None else plan.model_shape.num_parameters * BYTES_PER_WEIGHT


def data_to_fetch(plan: Plan) -> tuple[str, ...]:
    """The data sets that are read from the hub's cache, and fetched where they are not there yet."""
    data = plan.recipe.data
    named = (data.path, data.eval_path) if reads_only_this_disk(plan) else ()
    absent = (path for path in named if path is not None and existing_path(path) is None)
    return tuple(path for path in absent if hub.local_data_path(path) == path)


def reads_only_this_disk(plan: Plan) -> bool:
    """Whether the ranks need no network: data that is streamed from the hub is read while training."""
    return not plan.recipe.data.streaming or existing_path(plan.recipe.data.path) is not None


def model_to_convert(plan: Plan) -> str | None:
    """The .gguf that must be converted before transformers can load it, or None."""
    model = plan.recipe.model
    if hub.local_model_dir(model.path, model.revision) is not None:
        return None
    gguf = hub.gguf_source(model.path)
    return None if gguf is None else gguf.name


def prepare_what_is_missing(
    plan: Plan, request: LaunchRequest, run_dir: RunDir, caller: Caller, report: Report
) -> None:
    """Run the preparation process only where something is missing, so that a warm start costs nothing."""
    ops, convert = ops_to_build(plan, caller), model_to_convert(plan)
    if ops or convert is not None:
        work = describe_work(ops, convert)
        prepare(request, prepare_argv(run_dir, caller), run_dir, what=work, report=report)


def write_files(request: LaunchRequest) -> None:
    """Write the files of the run directory."""
    for name, text in request.files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder's name need not be UTF-8; whatever the shell's language, these files are.
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        if path.suffix == ".sh":
            path.chmod(0o755)


def _checkpoint_to_resume(run_dir: RunDir, plan: Plan) -> Checkpoint:
    world_size = plan.job.batch.world_size
    complete = newest_complete(run_dir.checkpoints, world_size=world_size)
    if complete is not None:
        return complete
    found = list_checkpoints(run_dir.checkpoints, world_size=world_size)
    broken = [f"  {checkpoint.path.name}: {checkpoint.fault}" for checkpoint in found]
    again = command_anew(run_dir)
    saving = "" if plan.recipe.output.save_steps else " output.save_steps=50"
    raise UsageError(
        "\n".join(
            [f"{run_dir.path} has no complete checkpoint to go on from.", *broken, f"Start anew: {again}{saving}"]
        )
    )


def _devices(plan: Plan, caller: Caller, machine: Machine) -> tuple[int, ...]:
    if plan.job.accelerator == "cpu":
        return ()
    return chosen_devices(caller.environ.get(VARIABLE), plan.job.batch.world_size, machine.gpu_uuids)


@contextmanager
def _alone(start: Start) -> Iterator[None]:
    """Keep other starts out of the run directory, and look again: another may have begun since the first look."""
    path = start.run_dir.path
    path.mkdir(parents=True, exist_ok=True)
    folder = os.open(path, os.O_RDONLY)
    try:
        _lock(folder, path)
        fault = output_fault(start.run_dir, resumes=start.resume_from is not None)
        if fault is not None:
            raise UsageError(fault)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    # Some network drives cannot lock a folder: then the second look alone must do.
    with suppress(OSError):
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{path}: another `tunekit launch` is starting a run in it just now.") from None


@contextmanager
def _recorded(run_dir: RunDir, attempt: int) -> Iterator[None]:
    """A preparation that fails or is interrupted leaves its ending in the run directory."""
    try:
        yield
    except KeyboardInterrupt:
        write_result(run_dir, RunResult(state="stopped", attempt=attempt, exit_code=STOPPED, phase="preparing"))
        raise
    except Exception as error:
        cause = tuple(str(error).splitlines())
        write_result(
            run_dir, RunResult(state="failed", attempt=attempt, exit_code=None, phase="preparing", cause=cause)
        )
        raise
