"""A checkpoint made to fit another number of ranks, another ZeRO stage, or another place of the optimizer.

DeepSpeed's converter writes its universal format, a folder of whole tensors per parameter, but in the dialect of the
stage it came from; what the stage to come reads differs in three places (deepspeed 0.19.8, `load_universal` of
`zero/stage3.py` and `base_optimizer.py`), which are rewritten here. Frozen parameters are in no checkpoint.
"""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tunekit.launcher.checkpoints import SEAL, states_folder
from tunekit.launcher.json_lines import read_record
from tunekit.planner.plan import Plan
from tunekit.recipe.job import Job
from tunekit.worker.journal import write_json
from tunekit.worker.restoring import STATE, UNIVERSAL
from tunekit.worker.straightening import check_weights, straighten

SCHEDULE, OPTIMIZER, PARAMETER = "scheduler.pt", "optimizer_state_dict", "param"
TENSORS = ("fp32", "exp_avg", "exp_avg_sq")
"""The whole tensors of a parameter: its master copy and Adam's two averages."""
COMMON = ("loss_scaler", "dynamic_loss_scale", "overflow", "clip_grad", "ds_version")
STRAIGHT = "straight"
MOST_GROUPS = 16
"""Stages 1 and 2 read only as many groups as the file has, and stop at their own count."""
SUFFIX = "_universal"


def convert(source: Path, target: Path, plan: Plan, transfer: str) -> None:
    """Write into `target` what the ranks of `plan` can resume from. RAM: about twice one rank's states."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    copy_trainer_files(source, target, plan.job)
    if transfer == "universal":
        write_universal(source, target, plan.job)
    elif transfer == "spread":
        link(source / "latest", target / "latest")
        link_all(states_folder(source), target / states_folder(source).name)
    else:
        for path in source.iterdir():
            if path.is_file() and not (target / path.name).exists():
                link(path, target / path.name)


def copy_trainer_files(source: Path, target: Path, job: Job) -> None:
    """The trainer's own state, the schedule, and random numbers for every rank: those of a rank that was there."""
    state = json.loads((source / STATE).read_text())
    write_json(target / STATE, {**state, "train_batch_size": job.batch.micro_batch_size})
    if (source / SCHEDULE).is_file():
        link(source / SCHEDULE, target / SCHEDULE)
    states = sorted(source.glob("rng_state*.pth"), key=lambda path: (len(path.name), path.name))
    ranks = job.batch.world_size
    for rank in range(ranks):
        name = "rng_state.pth" if ranks == 1 else f"rng_state_{rank}.pth"
        link(states[rank % len(states)], target / name)


def write_universal(source: Path, target: Path, job: Job) -> None:
    """DeepSpeed's universal checkpoint of `source`, as the stage of `job` reads it."""
    from deepspeed.checkpoint import ds_to_universal

    states = states_folder(source)
    folder = target / f"{states.name}{SUFFIX}"
    if deals_round(source):
        states = straighten(states, target / STRAIGHT)
    ds_to_universal.main(
        Namespace(
            input_folder=str(states),
            output_folder=str(folder),
            # In this process: each worker would load torch once more.
            num_extract_workers=1,
            num_merge_workers=1,
            keep_temp_folder=False,
            strict=True,
            inject_missing_state=True,
        )
    )
    check_weights(folder, source)
    shutil.rmtree(target / STRAIGHT, ignore_errors=True)
    common = read_optimizer_state(folder)
    for parameter in sorted(path.parent for path in folder.glob("zero/*/exp_avg.pt")):
        rewrite_parameter(parameter, common["step"], job)
    torch.save(optimizer_state(common, job), folder / "zero" / "optimizer_state.pt")
    rewrite_model_states(folder, job)
    # transformers looks for a folder of this name before it asks DeepSpeed to load.
    (target / UNIVERSAL).write_text(folder.name)


def deals_round(source: Path) -> bool:
    """Whether the checkpoint says that its parameters are dealt out to the ranks in turn."""
    stepping = (read_record(source / SEAL) or {}).get("stepping")
    return isinstance(stepping, dict) and stepping.get("round_robin") is True


def read_optimizer_state(folder: Path) -> dict[str, Any]:
    """What the optimizer's files say of all parameters together; `step` counts Adam's steps."""
    found: dict[str, Any] = torch.load(folder / "zero" / "optimizer_state.pt", map_location="cpu", weights_only=False)
    stepped = found.pop(OPTIMIZER, None)
    if stepped is not None:  # stage 3
        step = next(iter(stepped["state"].values()))["step"]
        groups = stepped["param_groups"]
    else:
        step = torch.load(next(folder.glob("zero/*/step.pt")), map_location="cpu", weights_only=False)
        groups = found["param_groups"]
    common = {name: found[name] for name in COMMON if name in found}
    return {**common, "step": int(step), "param_groups": groups}


def optimizer_state(common: dict[str, Any], job: Job) -> dict[str, Any]:
    """`optimizer_state.pt` as the stage reads it; of the groups only the learning rate, which they share.

    Stage 3 would give every group what the first one has, and with it weight decay to norms and biases.
    """
    groups = [{"lr": common["param_groups"][0]["lr"], "params": []} for _ in range(MOST_GROUPS)]
    told = {name: value for name, value in common.items() if name not in ("step", "param_groups")}
    if job.zero.stage != 3:
        # Stage 3 does not say which DeepSpeed wrote it, stages 1 and 2 want to know.
        return {"ds_version": version("deepspeed"), **told, "param_groups": groups}
    return {**told, OPTIMIZER: {"state": {0: {"step": step_of(common["step"], job)}}, "param_groups": groups}}


def step_of(step: int, job: Job) -> Any:
    """The counter as the optimizer keeps it: DeepSpeed's own in a number, torch's in a tensor beside its states."""
    return step if job.zero.offload_optimizer != "none" else torch.tensor(float(step))


def rewrite_parameter(folder: Path, step: int, job: Job) -> None:
    """The tensors of one parameter: flat for stage 3, in a dictionary with the step beside them for the others."""
    dtype = torch.bfloat16 if job.zero.bf16_states else torch.float32
    for name in TENSORS:
        found = torch.load(folder / f"{name}.pt", map_location="cpu", weights_only=False)
        tensor = (found[PARAMETER] if isinstance(found, dict) else found).to(dtype).flatten()
        torch.save(tensor if job.zero.stage == 3 else {PARAMETER: tensor, "cat_dim": 0}, folder / f"{name}.pt")
    if job.zero.stage == 3:
        (folder / "step.pt").unlink(missing_ok=True)
    else:
        torch.save(step_of(step, job), folder / "step.pt")


def rewrite_model_states(folder: Path, job: Job) -> None:
    """One small file under the name that the stage looks for: counters, not weights, which lie in zero/.

    Its schedule is empty: how many groups it is for depends on who owns the optimizer, and its place follows from the
    step (`tunekit.worker.restoring.advance_schedule`).
    """
    files = sorted(folder.glob("*model_states.pt"))
    states = torch.load(files[0], map_location="cpu", weights_only=False)
    states |= {"module": {}, "lr_scheduler": {"lr_lambdas": []}}
    for path in files:
        path.unlink()
    name = "zero_pp_rank_0_mp_rank_00_model_states.pt" if job.zero.stage == 3 else "mp_rank_00_model_states.pt"
    torch.save(states, folder / name)


def link(source: Path, target: Path) -> None:
    """The same file under a second name; a copy where the drive cannot."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def link_all(source: Path, target: Path) -> None:
    """Every file below `source`, under `target`."""
    shutil.copytree(source, target, copy_function=lambda old, new: link(Path(old), Path(new)))
