"""Peaks per rank and phase, and the shard each rank holds, in bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tunekit.memory.terms import Phase
from tunekit.planner.plan import Plan
from tunekit.probes.gpus import read_gpus, visible_gpus, visible_here
from tunekit.units import KIB
from tunekit.worker.adapters import numel
from tunekit.worker.world import World

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to clear_refs it sets VmHWM, the peak resident set, to the present one (proc(5))."""


class Meter:
    """Watches one rank: enter a phase, and the peaks of the phase before are kept.

    A phase entered twice keeps the larger peak and the sum of its seconds. `start` is what the process held before the
    model came: its imports, and its context on the card. `others_bytes` of the card belonged to somebody else.
    """

    def __init__(
        self, world: World, status: Path = STATUS, clear_refs: Path = CLEAR_REFS, *, others_bytes: int = 0
    ) -> None:
        self.world = world
        self.others_bytes = others_bytes
        self.status = status
        self.clear_refs = clear_refs
        self.phase: Phase | None = None
        self.since = time.monotonic()
        self.peaks: dict[str, dict[str, float]] = {}
        self.start = {"host_bytes": self.resident_bytes(), "device_other_bytes": self.device_other_bytes()}

    def enter(self, phase: Phase) -> Phase | None:
        """Begin `phase`; gives the one that ended, so that the caller can go back to it."""
        ended = self.phase
        self.close()
        self.phase = phase
        return ended

    @contextmanager
    def visiting(self, phase: Phase) -> Iterator[None]:
        """`phase` for the length of the block, then back to the one before."""
        ended = self.enter(phase)
        try:
            yield
        finally:
            self.close()
            self.phase = ended

    def close(self) -> None:
        """End the present phase and keep its peaks."""
        if self.phase is not None:
            self._keep(self.phase, self.read())
        self._reset()
        self.phase = None
        self.since = time.monotonic()

    def read(self) -> dict[str, float]:
        """Peaks since the phase began."""
        allocated, reserved = device_peaks(self.world.device)
        return {
            "device_allocated_bytes": allocated,
            "device_reserved_bytes": reserved,
            "device_used_bytes": device_used_bytes(self.world.device),
            "device_other_bytes": self.device_other_bytes(),
            "host_bytes": memory_field(self.status, "VmHWM"),
            "host_anonymous_bytes": memory_field(self.status, "RssAnon"),
            "seconds": time.monotonic() - self.since,
        }

    def resident_bytes(self) -> int:
        """RAM of this process now."""
        return memory_field(self.status, "VmRSS")

    def device_peak(self) -> int:
        """The largest allocation on the device in any phase so far."""
        kept = (peak["device_allocated_bytes"] for peak in self.peaks.values())
        return int(max([device_peaks(self.world.device)[0], *kept]))

    def at_failure(self) -> dict[str, int]:
        """What a failure record keeps: the card's peak so far, and the RAM of this process now."""
        return {"device_bytes": self.device_peak(), "host_bytes": self.resident_bytes()}

    def device_other_bytes(self) -> int:
        """What this process holds of the card beside torch's allocator: context, kernels, NCCL. As it is now."""
        if self.world.device.type != "cuda":
            return 0
        pooled = torch.cuda.memory_reserved(self.world.device)
        return max(0, device_used_bytes(self.world.device) - pooled - self.others_bytes)

    def _keep(self, phase: Phase, now: dict[str, float]) -> None:
        before = self.peaks.get(phase, dict.fromkeys(now, 0.0))
        merged = {name: max(before[name], value) for name, value in now.items()}
        self.peaks[phase] = {**merged, "seconds": round(before["seconds"] + now["seconds"], 3)}

    def _reset(self) -> None:
        if self.world.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.world.device)
        try:
            self.clear_refs.write_text(RESET_PEAK)
        except OSError:
            return  # a container may forbid it; the peak is then the peak since the start


def follow_steps(engine: Any, meter: Meter) -> None:
    """Let `meter` tell the phases of training apart: the first forward ends with the first backward, and the
    optimizer's phase is the engine's own step.
    """
    backward, step = engine.backward, engine.step

    def backward_in_phase(*args: Any, **kwargs: Any) -> Any:
        if meter.phase == "first forward":
            meter.enter("step")
        return backward(*args, **kwargs)

    def step_in_phase(*args: Any, **kwargs: Any) -> Any:
        with meter.visiting("optimizer"):
            return step(*args, **kwargs)

    engine.backward, engine.step = backward_in_phase, step_in_phase


def device_peaks(device: torch.device) -> tuple[int, int]:
    """Peak of allocated and of reserved bytes on the device; zeros on a CPU, where the host holds everything."""
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)


def device_used_bytes(device: torch.device) -> int:
    """What the driver says is used on the card, by everyone, CUDA context included; 0 on a CPU."""
    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def held_by_others(plan: Plan, nvml: Any = None) -> int:
    """Bytes of this rank's card that are in use before the rank has touched it; 0 on a CPU, or where NVML is silent."""
    if plan.job.accelerator != "cuda":
        return 0
    cards = visible_gpus(read_gpus(nvml).gpus, visible_here())
    index = int(os.environ.get("LOCAL_RANK", "0"))
    return cards[index].total_bytes - cards[index].free_bytes if index < len(cards) else 0


def memory_field(status: Path, name: str) -> int:
    """One field of /proc/PID/status in bytes (the kernel writes kB, meaning KiB); 0 where there is none."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    value = next((line.split()[1] for line in lines if line.startswith(f"{name}:")), "0")
    return int(value) * KIB


def optimizer_state_bytes(optimizer: Any) -> int:
    """Bytes of this rank's moments, wherever they rest; what lies on NVMe is not counted. 0 before the first step."""
    inner = getattr(optimizer, "optimizer", optimizer)
    states = [value for state in inner.state.values() for value in state.values() if torch.is_tensor(value)]
    # Counters of steps are tensors too, of one number each.
    return sum(tensor.numel() * tensor.element_size() for tensor in states if tensor.numel() > 1)


def files_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def shard_sizes(engine: Any) -> dict[str, int]:
    """What this rank holds of the model and of the optimizer.

    `parameter_bytes` on this rank and `whole_parameter_bytes` in all; the same for 4-bit weights alone, and the
    elements of the fp32 (or bf16) master copies in this rank's optimizer.
    """
    parameters = list(engine.module.parameters())
    packed = [parameter for parameter in parameters if is_packed(parameter)]
    return {
        "parameter_bytes": sum(map(held_bytes, parameters)),
        "whole_parameter_bytes": sum(map(whole_bytes, parameters)),
        "packed_bytes": sum(map(held_bytes, packed)),
        "whole_packed_bytes": sum(map(whole_bytes, packed)),
        "optimizer_elements": optimizer_elements(engine.optimizer),
    }


def is_packed(parameter: torch.nn.Parameter) -> bool:
    """Whether these are quantised weights of bitsandbytes: packed 4-bit ones have a state, 8-bit ones a type."""
    return getattr(parameter, "quant_state", None) is not None or parameter.dtype == torch.int8


def held_bytes(parameter: torch.nn.Parameter) -> int:
    """Bytes of `parameter` on this rank: its partition under ZeRO-3, else all of it."""
    part = getattr(parameter, "ds_tensor", None)
    held = parameter if part is None else part
    return int(getattr(held, "ds_numel", held.numel())) * held.element_size()


def whole_bytes(parameter: torch.nn.Parameter) -> int:
    """Bytes of the whole parameter."""
    return numel(parameter) * parameter.element_size()


def optimizer_elements(optimizer: Any) -> int:
    """Elements of the master copies that this rank steps, whatever the stage calls them."""
    # Stage 3 lists sizes: the copies themselves may lie on NVMe, their tensors then hold nothing.
    sizes = getattr(optimizer, "fp16_partitioned_groups_flat_numel", None)
    if sizes is not None:
        return sum(sizes)
    # Stages 1 and 2 keep one flat tensor per group, stage 0 a list of tensors.
    groups = getattr(optimizer, "single_partition_of_fp32_groups", None) or getattr(optimizer, "fp32_groups", [])
    return sum(int(tensor.numel()) for group in groups for tensor in (group if isinstance(group, list) else [group]))
