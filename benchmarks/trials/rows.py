"""Trials as rows of a table of measurements, with the columns of the published ones, and finding them again."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials.case import Case
from trials.running import Trial
from tunekit.hardware.spec import Hardware
from tunekit.units import GB, GIB

_HEADER = """
    row_id source_repo source_path source_rev published framework model params_b method lora_rank lora_alpha
    lora_targets trainable_params full_trained_modules base_weight_dtype quant compute_dtype master_weights optimizer
    optim_state_dtype parallelism zero_stage offload n_nodes n_gpus gpu_type gpu_mem_gb micro_batch grad_accum seq_len
    seq_semantics grad_ckpt attention kernels torch_compile phase mem_metric gpu_mem_value gpu_mem_unit unit_base
    gpu_mem_gib gpu_mem_scope outcome host_ram_value host_ram_unit host_ram_note speed_value speed_unit time_value
    time_unit confidence note
"""
COLUMNS = tuple(_HEADER.split())
ALLOCATED, RESERVED = "torch max_memory_allocated", "torch max_memory_reserved"
NVML = "NVML memory used, peak less what was used before, sampled every 50 ms"
RSS = "resident set, peak (VmHWM)"
PHASES: Mapping[str, str] = {
    "load": "model_loading",
    "first forward": "first_forward",
    "step": "train_peak",
    "optimizer": "optimizer_step",
    "eval": "evaluation",
    "save": "saving",
}
"""The plan's phases in the words of the table."""
_DEVICE = {"device_allocated_bytes": ALLOCATED, "device_reserved_bytes": RESERVED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where and when rows were measured: revision, day, machine, versions."""

    prefix: str
    script: str
    revision: str
    date: str
    hardware: Hardware
    versions: Mapping[str, str]


def rows_of(trial: Trial, origin: Origin, first: int) -> list[dict[str, Any]]:
    """The rows of a trial, numbered from `first`; one without figures where it did not come to its end."""
    readings = list(_readings(trial)) or [_nothing(trial)]
    about = _about(trial, origin)
    return [
        {**dict.fromkeys(COLUMNS, ""), **about, **reading, "row_id": f"{origin.prefix}-{number:04d}"}
        for number, reading in enumerate(readings, start=first)
    ]


def case_name(row: Mapping[str, str]) -> str:
    """The case that a row is of."""
    found = re.search(r"case (\S+?);", row.get("note", ""))
    return found[1] if found else ""


def read_file(path: Path) -> list[dict[str, str]]:
    """All rows so far. Raises SystemExit for a file with other columns: nothing is appended to it."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if list(reader.fieldnames or ()) != list(COLUMNS):
            raise SystemExit(f"{path} has other columns than this benchmark writes; name another file with --out.")
        return list(reader)


def append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows, the header first where there is none yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def _readings(trial: Trial) -> Iterator[dict[str, Any]]:
    ranks = trial.measured.get("ranks", [])
    if not ranks:
        return
    on_cards = bool(trial.plan.hardware.gpus)
    starts = [rank["start"] for rank in ranks]
    yield _host("idle", sum(int(start["host_bytes"]) for start in starts))
    if on_cards:
        context = max(int(start["device_other_bytes"]) for start in starts)
        yield _device("cuda_context", "NVML", context)
    for phase in ranks[0]["phases"]:
        peaks = [rank["phases"][phase] for rank in ranks]
        for field, metric in _DEVICE.items() if on_cards else ():
            yield _device(PHASES[phase], metric, max(int(peak[field]) for peak in peaks))
        if on_cards and phase in trial.sampled:
            yield _device(PHASES[phase], NVML, trial.sampled[phase])
        yield _host(PHASES[phase], sum(int(peak["host_bytes"]) for peak in peaks))


def _device(phase: str, metric: str, size: int) -> dict[str, Any]:
    return {
        "phase": phase,
        "mem_metric": metric,
        "gpu_mem_value": size,
        "gpu_mem_unit": "bytes",
        "unit_base": "bytes",
        "gpu_mem_gib": round(size / GIB, 4),
        "gpu_mem_scope": "max over GPUs",
    }


def _host(phase: str, size: int) -> dict[str, Any]:
    return {
        "phase": phase,
        "mem_metric": RSS,
        "host_ram_value": size,
        "host_ram_unit": "bytes",
        "host_ram_note": "sum over ranks, shared pages in each",
    }


def _nothing(trial: Trial) -> dict[str, Any]:
    return {"phase": "fits_or_not", "mem_metric": "", "gpu_mem_scope": "per GPU"}


def _about(trial: Trial, origin: Origin) -> dict[str, Any]:
    case, plan, hardware = trial.case, trial.plan, trial.plan.hardware
    card = hardware.gpus[0] if hardware.gpus else None
    return {
        **_of_case(case),
        "source_repo": "tunekit",
        "source_path": origin.script,
        "source_rev": origin.revision,
        "published": origin.date,
        "framework": "tunekit worker",
        "params_b": round(plan.model_shape.num_parameters / 1e9, 4),
        "trainable_params": plan.num_trainable_parameters,
        "lora_targets": " ".join(plan.job.adapter.target_modules) if plan.job.adapter else "",
        "base_weight_dtype": plan.job.precision,
        "compute_dtype": plan.job.precision,
        "zero_stage": plan.job.zero.stage,
        "offload": _offload(trial),
        "n_nodes": 1,
        "n_gpus": len(hardware.gpus),
        "gpu_type": card.name if card else "none",
        "gpu_mem_gb": case.limit_gb or (round(card.memory_bytes / GB, 1) if card else ""),
        "outcome": trial.outcome,
        "time_value": trial.seconds,
        "time_unit": "s in all",
        "confidence": "high",
        "note": _note(trial, origin),
    }


def _of_case(case: Case) -> dict[str, Any]:
    adapts = case.method != "full"
    return {
        "model": f"{case.model}, {case.layers} layers",
        "method": case.method,
        "lora_rank": case.rank if adapts else "",
        "lora_alpha": 2 * case.rank if adapts else "",
        "quant": "bnb nf4, double quant" if case.method == "qlora" else "",
        "optimizer": case.optimizer,
        "parallelism": "deepspeed",
        "micro_batch": case.micro,
        "grad_accum": case.accumulate,
        "seq_len": case.length,
        "seq_semantics": "packed, every row filled" if case.packing else "fixed, every row filled",
        "grad_ckpt": "on" if case.checkpointing else "off",
        "attention": case.attention,
        "kernels": f"{case.loss} loss",
    }


def _offload(trial: Trial) -> str:
    zero = trial.plan.job.zero
    named = (("optimizer", zero.offload_optimizer), ("params", zero.offload_param))
    return ", ".join(f"{where} {what}" for what, where in named if where != "none") or "none"


def _note(trial: Trial, origin: Origin) -> str:
    host = origin.hardware.host
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    disk = ", ".join(f"{name} {size} B" for name, size in (*trial.disk.items(), *_swap(trial)))
    parts = [f"case {trial.case.name}", f"plan says {trial.plan.verdict}", f"{host.cpu}, {host.cores} cores", versions]
    parts += [f"on disk: {disk}"] if disk else []
    parts += [trial.error] if trial.error else []
    return "; ".join(parts)


def _swap(trial: Trial) -> tuple[tuple[str, int], ...]:
    size = int(trial.measured.get("swap_bytes", 0))
    return (("swap", size),) if size else ()
