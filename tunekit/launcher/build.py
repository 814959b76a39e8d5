"""From a plan to a `LaunchRequest`: argv, environment and the text of every file of the run. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunekit.ds_config.build import build_ds_config
from tunekit.ds_config.check import check_ds_config
from tunekit.errors import RecipeError
from tunekit.launcher.caller import Caller
from tunekit.launcher.environment import stray_variables, worker_environment
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.resuming import Transfer
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.answered import answered_yaml
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_to_json
from tunekit.recipe.loading import LoadedRecipe

WORKER_MODULE = "tunekit.worker"
PREPARE_MODULE = "tunekit.worker.prepare"
GUARD_MODULE = "tunekit.backends.by_hand"
ROUND_ROBIN = "round_robin_gradients"
NO_HOSTFILE = "/dev/null"
"""DeepSpeed reads /job/hostfile when it is there and then wants ssh; this one never names hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What differs between two starts of the same plan.

    `devices` are card indices, or () for the first ones. `offline`: model and data are on this disk already.
    `transfer`: how `resume_from` is made to fit first; the ranks then read the converted one. `replanned`: the plan is
    another than that of the attempt before.
    """

    number: int = 1
    master_port: int
    resume_from: Path | None = None
    transfer: Transfer | None = None
    replanned: bool = False
    devices: tuple[int, ...] = ()
    offline: bool = True


def build_request(plan: Plan, *, recipe_text: str, run_dir: RunDir, caller: Caller, attempt: Attempt) -> LaunchRequest:
    """The deepspeed command of `plan`; `run_dir.path` is absolute.

    RecipeError: the DeepSpeed JSON that follows from the recipe would not be accepted, or part of it ignored.
    """
    argv = deepspeed_argv(plan, run_dir=run_dir, caller=caller, attempt=attempt)
    env = worker_environment(plan, caller, run_dir=str(run_dir.path), attempt=attempt.number, offline=attempt.offline)
    unset = stray_variables(caller.environ)
    files = {
        run_dir.recipe: recipe_text,
        run_dir.resolved_recipe: answered_yaml(plan),
        run_dir.plan: _json_text(plan_to_json(plan)),
        run_dir.ds_config: _json_text(_reading(checked_ds_config(plan), attempt)),
        run_dir.launch: _json_text(_launch_record(argv, env, unset, caller, attempt)),
        run_dir.launch_script: launch_script(argv, env, unset, caller.cwd, guard=guard_argv(run_dir, caller)),
    }
    texts = {str(path): text for path, text in files.items()}
    return LaunchRequest(argv=argv, env=env, unset=unset, files=texts, cwd=caller.cwd)


def deepspeed_argv(plan: Plan, *, run_dir: RunDir, caller: Caller, attempt: Attempt) -> tuple[str, ...]:
    """`deepspeed … --module tunekit.worker --plan …`, word by word."""
    options = ["-H", NO_HOSTFILE, *_which_devices(plan, attempt), "--no_local_rank"]
    options += ["--enable_each_rank_log", str(run_dir.logs), "--master_port", str(attempt.master_port)]
    if binds_cores(plan, caller):
        options.append("--bind_cores_to_rank")
    worker = ["--module", WORKER_MODULE, "--plan", str(run_dir.plan)]
    if attempt.resume_from is not None:
        worker += [] if attempt.replanned else ["--no-rehearsal"]
        worker += ["--resume-from", str(run_dir.converted if attempt.transfer else attempt.resume_from)]
    if attempt.transfer == "weights":
        worker.append("--weights-only")
    return (*_deepspeed(caller), *options, *worker)


def prepare_argv(
    run_dir: RunDir, caller: Caller, *, resume_from: Path | None = None, transfer: Transfer | None = None
) -> tuple[str, ...]:
    """The one process that builds ops and converts files before the ranks start."""
    argv = (caller.executable, "-u", "-m", PREPARE_MODULE, "--plan", str(run_dir.plan))
    if resume_from is None or transfer is None:
        return argv
    return (*argv, "--resume-from", str(resume_from), "--transfer", transfer)


def guard_argv(run_dir: RunDir, caller: Caller) -> tuple[str, ...]:
    """What launch.sh asks first: it ends with 2 where the ranks would train over a run."""
    return (caller.executable, "-P", "-m", GUARD_MODULE, str(run_dir.path))


def binds_cores(plan: Plan, caller: Caller) -> bool:
    """Each rank on cores of its own: 14 to 23 % on offload jobs (DeepSpeed's tutorial); needs numactl and all cores."""
    offloads = plan.job.accelerator == "cuda" and plan.job.zero.offload_optimizer != "none"
    return offloads and plan.job.batch.world_size > 1 and caller.has_numactl and not caller.cores_restricted


def checked_ds_config(plan: Plan) -> dict[str, Any]:
    """DeepSpeed's JSON for the plan. RecipeError: it has problems, all of them named."""
    config = build_ds_config(plan.recipe, plan.job, plan.model_shape)
    problems = check_ds_config(config, source=plan.job.zero.preset)
    if problems:
        raise RecipeError(problems, source=f"the DeepSpeed configuration ({plan.job.zero.preset})")
    return config


def recipe_text(loaded: LoadedRecipe) -> str:
    """The recipe as it was given, the overrides of the command line appended as comments."""
    text = loaded.text if loaded.text.endswith("\n") else loaded.text + "\n"
    # A word may hold line breaks, behind which it would be no comment.
    lines = [f"#   {line}\n" for override in loaded.overrides for line in override.splitlines()]
    return text + "".join(["\n# Changed on the command line:\n", *lines] if lines else [])


def launch_script(
    argv: Sequence[str], env: Mapping[str, str], unset: Sequence[str], cwd: str, *, guard: Sequence[str]
) -> str:
    """The attempt as a shell script: the same command in the same environment, to rerun by hand."""
    # A variable's name may hold anything; what is no name in bash cannot be unset there.
    names = [name for name in unset if name.isascii() and name.isidentifier()]
    lines = [
        "#!/usr/bin/env bash",
        "# Starts the ranks of this run by hand, as tunekit does. The compiled ops must be there already.",
        "# It refuses where steps were trained, or are being trained.",
        "set -euo pipefail",
        shlex.join(guard),
        f"cd {shlex.quote(cwd)}",
        f"unset {' '.join(names)}",
        *(f"export {name}={shlex.quote(value)}" for name, value in env.items()),
        "exec " + " \\\n  ".join(command_lines(argv)),
    ]
    return "\n".join(lines) + "\n"


def command_lines(argv: Sequence[str]) -> list[str]:
    """Quoted words, an option and its value together."""
    groups: list[list[str]] = []
    for word in argv:
        if word.startswith("-") or not groups:
            groups.append([])
        groups[-1].append(shlex.quote(word))
    return [" ".join(group) for group in groups]


def _deepspeed(caller: Caller) -> tuple[str, ...]:
    if caller.has_deepspeed_script or not caller.versions.get("deepspeed"):
        return (f"{caller.bin_dir}/deepspeed",)
    return (caller.executable, "-m", "deepspeed.launcher.runner")


def _which_devices(plan: Plan, attempt: Attempt) -> tuple[str, str]:
    if attempt.devices and plan.job.accelerator == "cuda":
        return "--include", "localhost:" + ",".join(str(index) for index in attempt.devices)
    return "--num_gpus", str(plan.job.batch.world_size)


def deals_round(plan: Plan) -> bool:
    """Whether DeepSpeed deals parameters out to the ranks in turn, which its universal format does not know."""
    return bool(checked_ds_config(plan)["zero_optimization"].get(ROUND_ROBIN))


def _reading(config: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """The configuration with what a universal checkpoint needs, where one is read."""
    if attempt.transfer != "universal":
        return config
    zero = config["zero_optimization"]
    straight = {**zero, ROUND_ROBIN: False} if zero.get(ROUND_ROBIN) else zero
    return {**config, "zero_optimization": straight, "checkpoint": {"load_universal": True}}


def _launch_record(
    argv: Sequence[str], env: Mapping[str, str], unset: Sequence[str], caller: Caller, attempt: Attempt
) -> dict[str, Any]:
    return {
        "format_version": 1,
        "attempt": attempt.number,
        "resume_from": None if attempt.resume_from is None else str(attempt.resume_from),
        "transfer": attempt.transfer,
        "argv": list(argv),
        "env": dict(env),
        "unset": list(unset),
        "cwd": caller.cwd,
        "python": caller.python_version,
        "versions": dict(caller.versions),
    }


def _json_text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
