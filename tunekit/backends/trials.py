"""What the doctor tries, each in a process of its own with its own limit: CUDA, NCCL, libraries, the data."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tunekit import hub
from tunekit.backends.output import nearest_existing
from tunekit.backends.preparation import Report
from tunekit.backends.probing import PLAIN, TORCH, Step, run_step
from tunekit.doctor.case import Case, Trial
from tunekit.doctor.disks import SWAP, place_of
from tunekit.doctor.host import bytes_to_pin
from tunekit.hardware.probing import Options, Outcome
from tunekit.launcher.environment import extensions_dir, link_variables, stray_variables, worker_environment
from tunekit.planner.plan_json import plan_to_json
from tunekit.recipe.shipped import existing_path

NEEDS_TORCH = "needs torch, which is not installed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One trial: which, what is said meanwhile, how long it measures, and when it is ended."""

    trial: Trial
    title: str
    limit: float
    seconds: float = 1.0
    module: str = TORCH
    step: str = ""
    """The measurement's name, where it is another than the trial's."""

    def as_step(self) -> Step:
        """What is run."""
        name = self.step or self.trial
        return Step(name=name, title=self.title, module=self.module, seconds=self.seconds, least=self.limit)


TRIES = (
    Try(trial="cuda", title="starting CUDA", limit=60),
    Try(trial="ops", title="loading DeepSpeed's ops", limit=60),
    Try(trial="four_bit", title="numbers to 4 bits and back", limit=90),
    Try(trial="flash_attention", title="loading flash-attn", limit=60),
    Try(trial="rows", title="reading tokenizer and data", limit=120),
    Try(trial="drive", title="writing to the drive of zero.nvme_path", limit=30, seconds=4, module=PLAIN),
    Try(trial="pinned", title="page-locking what the plan locks", limit=60),
    Try(trial="copies", title="copies between RAM and cards", limit=60, seconds=2),
    # The last: on boards that promise a peer access they do not have, it hangs.
    Try(trial="collectives", title="an all-reduce of all cards", limit=60, seconds=2),
)


def run_trials(case: Case, *, report: Report) -> dict[Trial, Outcome]:
    """What each trial that this case needs has found; one that fails or takes too long stops no other."""
    todo = [each for each in TRIES if _is_needed(each.trial, case)]
    found: dict[Trial, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="tunekit-doctor-") as folder:
        for number, each in enumerate(todo):
            why_not = _left_out(each, case)
            if why_not:
                found[each.trial] = Outcome(title=each.title, found={}, missing=why_not)
                continue
            words = f"{each.title} ({number + 1} of {len(todo)})"
            found[each.trial] = _run(each, case, Path(folder), partial(report, words))
    return found


def _is_needed(trial: Trial, case: Case) -> bool:
    plan, cards = case.plan, case.on_cards and bool(case.readings.cards.shown)
    quantised = plan is not None and (plan.job.quantization is not None or plan.job.optimizer.endswith("8bit"))
    return {
        "cuda": cards,
        "ops": any(_loadable(case)),
        "four_bit": quantised or (plan is None and cards),
        "flash_attention": plan is not None and plan.job.attention == "flash_attention_2",
        "rows": plan is not None,
        "drive": place_of(case, SWAP) is not None,
        "pinned": cards and plan is not None and bytes_to_pin(plan) > 0,
        "copies": cards,
        "collectives": cards and len(case.readings.cards.shown) > 1,
    }[trial]


def _left_out(each: Try, case: Case) -> str:
    """Why a trial cannot be made; empty where it can."""
    if each.module == TORCH and find_spec("torch") is None:
        return NEEDS_TORCH
    if each.trial == "rows" and case.plan is not None:
        return _rows_left_out(case)
    if each.trial == "flash_attention" and case.refused("flash_attention"):
        return "not installed"
    return ""


def _rows_left_out(case: Case) -> str:
    assert case.plan is not None
    model, data = case.plan.recipe.model, case.plan.recipe.data
    if case.readings.missing_modules:
        return f"needs packages that are not installed: {', '.join(case.readings.missing_modules)}"
    if hub.local_model_dir(model.path, model.revision) is None and hub.gguf_source(model.path) is None:
        return "needs the tokenizer, which comes with the model at the launch"
    if case.refused("data"):
        return "needs data that can be read"
    if data.streaming or (existing_path(data.path) is None and hub.local_data_path(data.path) == data.path):
        return "needs the data set, which is read from the hub at the launch"
    return ""


def _run(each: Try, case: Case, folder: Path, waiting: partial[None]) -> Outcome:
    options = _options(each, case, folder)
    env = dict(_environment(each, case, folder))
    return run_step(each.as_step(), options, env=env, limit=each.limit, folder=folder, waiting=waiting)


def _options(each: Try, case: Case, folder: Path) -> Options:
    hardware, plan = case.hardware, case.plan
    cache = extensions_dir(case.caller)
    built = [str(cache / op / f"{op}.so") for op in _loadable(case)]
    options = Options(
        seconds=each.seconds,
        cores=hardware.host.cores,
        ranks=hardware.world_size,
        free_bytes=hardware.host.usable_ram_bytes,
        ops=",".join(built),
    )
    if each.trial == "pinned" and plan is not None:
        return replace(options, free_bytes=min(bytes_to_pin(plan), hardware.host.usable_ram_bytes // 2))
    if each.trial == "drive":
        swap = place_of(case, SWAP)
        return replace(options, folder=nearest_existing(Path(swap.path)) if swap else Path())
    if each.trial == "rows" and plan is not None:
        path = folder / "plan.json"
        path.write_text(json.dumps(plan_to_json(plan)), encoding="utf-8")
        return replace(options, plan=path)
    return options


def _loadable(case: Case) -> Iterator[str]:
    """The ops that are needed and built, in the order they are loaded; async_io rests on pin_memory."""
    built = case.readings.ops.built
    return (op for op in case.ops if op in built and (op != "async_io" or "pin_memory" in built))


def _environment(each: Try, case: Case, folder: Path) -> Iterator[tuple[str, str]]:
    """What the ranks would get; the data are tokenised into a folder that goes."""
    stray = set(stray_variables(os.environ)) - {"CUDA_VISIBLE_DEVICES"}
    yield from ((name, value) for name, value in os.environ.items() if name not in stray)
    ranks = case.ranks if each.trial == "collectives" else 1
    yield from _chosen(case).items()
    yield "OMP_NUM_THREADS", str(max(1, case.hardware.host.cores // ranks))
    yield "HF_DATASETS_CACHE", str(folder / "datasets")


def _chosen(case: Case) -> Mapping[str, str]:
    if case.plan is not None:
        return worker_environment(case.plan, case.caller, run_dir="")
    return {"TORCH_EXTENSIONS_DIR": str(extensions_dir(case.caller)), **link_variables(case.hardware)}
