"""From a plan that fits to running processes: look, fetch, write the run directory, prepare, start."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tunekit import hub
from tunekit.backends.base import STOP_GRACE, Backend, Process
from tunekit.backends.facts import gather_facts, ops_to_build
from tunekit.backends.output import output_fault
from tunekit.backends.preparation import Report, describe_work, prepare
from tunekit.backends.processes import reap_orphans
from tunekit.backends.trusting import trust_faults
from tunekit.errors import UsageError
from tunekit.launcher.attempts import archive_attempt, last_attempt, next_attempt
from tunekit.launcher.build import Attempt, build_request, checked_ds_config, prepare_argv, recipe_text
from tunekit.launcher.caller import Caller
from tunekit.launcher.devices import VARIABLE, chosen_devices
from tunekit.launcher.exit_codes import STOPPED
from tunekit.launcher.outcome import RunResult, write_result
from tunekit.launcher.ports import choose_port, preferred_port
from tunekit.launcher.preflight import Fault, Machine, find_faults, is_for_another_machine, refuse
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.resuming import Transfer
from tunekit.launcher.run_dir import RunDir, run_dir_at
from tunekit.launcher.state import is_run
from tunekit.planner.plan import Plan
from tunekit.recipe.loading import LoadedRecipe
from tunekit.recipe.shipped import existing_path
from tunekit.secrecy import redact, redact_json

BYTES_PER_WEIGHT = 2
"""Of the files on the hub: 16-bit weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of a plan: `resume_from` is the checkpoint to go on from, `wanted_port` the user's own port.

    `transfer`: how that checkpoint is made to fit first; None where it fits. `replanned`: the plan is another than that
    of the attempt before.
    """

    plan: Plan
    recipe_text: str
    run_dir: RunDir
    wanted_port: int | None = None
    resume_from: Path | None = None
    transfer: Transfer | None = None
    replanned: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether the run directory holds earlier attempts that this one belongs to."""
        return self.resume_from is not None or self.replanned

    @property
    def new_plan(self) -> bool:
        """Whether the run directory has no plan yet, or another."""
        return self.resume_from is None or self.replanned


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
    run_dir = run_dir_at(plan.recipe.output.dir)
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
        devices=() if faults else used_devices(plan, caller, machine),
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
        resumes=start.goes_on,
    )
    return (*trust_faults(start.plan.recipe, caller.environ), *find_faults(start.plan, facts))


def start_run(start: Start, *, caller: Caller, machine: Machine, backend: Backend, report: Report) -> Process:
    """Start the processes of a new attempt, in the caller's folder, from which the recipe's paths are seen.

    UsageError or MissingError with every reason, before anything is written, when the run cannot be started here.
    """
    with chdir(caller.cwd):
        return _start_here(start, caller, machine, backend, report)


def _start_here(start: Start, caller: Caller, machine: Machine, backend: Backend, report: Report) -> Process:
    plan, run_dir = start.plan, start.run_dir
    report("looking at this machine")
    reap_orphans(run_dir, grace=STOP_GRACE)
    refuse(look(start, caller, machine))
    devices = used_devices(plan, caller, machine)
    fetch(plan, report)
    with _alone(start):
        clear_leftovers(run_dir)
        number = archive_attempt(run_dir, with_plan=start.new_plan)
        attempt = Attempt(
            number=number,
            master_port=choose_port(plan.recipe.output.dir, wanted=start.wanted_port),
            resume_from=start.resume_from,
            transfer=start.transfer,
            replanned=start.replanned,
            devices=devices,
            offline=reads_only_this_disk(plan),
        )
        request = build_request(plan, recipe_text=start.recipe_text, run_dir=run_dir, caller=caller, attempt=attempt)
        write_files(request)
        with _recorded(run_dir, number):
            prepare_what_is_missing(start, request, caller, report)
            report("starting deepspeed")
            return backend.start(request, run_dir)


def fetch(plan: Plan, report: Report) -> None:
    """Bring model and data to this disk, once, before the ranks start."""
    model, data = plan.recipe.model, plan.recipe.data
    if hub.local_model_dir(model.path, model.revision) is None:
        report(f"fetching {model.path}")
        hub.fetch_model(model.path, model.revision, allow_pickle=model.allow_pickle, say=report)
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


def prepare_what_is_missing(start: Start, request: LaunchRequest, caller: Caller, report: Report) -> None:
    """Run the preparation process only where something is missing, so that a warm start costs nothing."""
    ops, convert = ops_to_build(start.plan, caller), model_to_convert(start.plan)
    fit = start.resume_from if start.transfer is not None else None
    if ops or convert is not None or fit is not None:
        work = describe_work(ops, convert, None if fit is None else fit.name)
        argv = prepare_argv(start.run_dir, caller, resume_from=fit, transfer=start.transfer)
        prepare(request, argv, start.run_dir, what=work, report=report)


def clear_leftovers(run_dir: RunDir) -> None:
    """Remove what an attempt that was killed may have left beside its checkpoints."""
    for folder in (run_dir.rehearsal, run_dir.converted):
        shutil.rmtree(folder, ignore_errors=True)


def write_files(request: LaunchRequest) -> None:
    """Write the files of the run directory."""
    for name, text in request.files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder's name need not be UTF-8; whatever the shell's language, these files are.
        shown = redact_json(text) if path.suffix == ".json" else redact(text)
        path.write_text(shown, encoding="utf-8", errors="surrogateescape")
        if path.suffix == ".sh":
            path.chmod(0o755)


def used_devices(plan: Plan, caller: Caller, machine: Machine) -> tuple[int, ...]:
    """The cards that CUDA_VISIBLE_DEVICES chooses, by the driver's index; () where the first ones are taken."""
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
        fault = output_fault(start.run_dir, resumes=start.goes_on)
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
