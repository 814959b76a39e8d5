"""What must be so before anything is started, checked all at once on facts that were gathered before. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from tunekit.errors import MissingError, TunekitError, UsageError
from tunekit.hardware.spec import Hardware
from tunekit.planner.plan import Plan
from tunekit.units import GIB, MIB, format_bytes

SHM_BYTES = 1 * GIB
"""NCCL without peer access and the data loaders live in /dev/shm; containers give 64 MB unless told otherwise."""
CPU_SHM_BYTES = 66 * MIB
"""What each CPU rank maps there for its all-reduce (`deepspeed/ops/csrc/cpu/comm/shm.cpp`, 0.19.8; measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A place on disk: the path asked for, the device it lies on, and what is free there."""

    path: str
    device: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that will be written to a mount, what for, and the setting that moves them elsewhere."""

    what: str
    setting: str
    mount: Mount
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """This machine now. `gpu_free_bytes` of the cards that may be used, by driver index, in the order they are used.

    `gpu_uuids` are of all cards, in the driver's order; both are empty where there is no GPU.
    """

    hardware: Hardware
    gpu_free_bytes: Mapping[int, int] = field(default_factory=dict)
    gpu_uuids: tuple[str, ...] = ()


Check = Literal[
    "versions", "accelerator", "gpu_memory", "shm", "ram", "nvme", "disks", "compiler", "flash_attention", "rendezvous",
    "visible_devices", "model_files", "data", "output",
]  # fmt: skip
"""What a fault is about, by the name that `tunekit doctor` gives the check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A reason not to start. usage: what was typed is wrong (exit 2); missing: the machine lacks something (exit 4).

    What stands behind the last `; ` of a text of one line is what to type or do.
    """

    kind: Literal["usage", "missing"]
    check: Check
    text: str

    @property
    def found(self) -> str:
        """What is wrong, without what to do."""
        return self._parts[0] if self.cure else self.text

    @property
    def cure(self) -> str:
        """What to type or do; empty where the text says it in other words."""
        return "" if "\n" in self.text else self._parts[2].removesuffix(".")

    @property
    def _parts(self) -> tuple[str, str, str]:
        found, between, cure = self.text.rpartition("; ")
        return (found, between, cure) if between else (self.text, "", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is here now; each `…_fault` says why something cannot be used, or is None."""

    machine: Machine
    missing_modules: tuple[str, ...] = ()
    version_faults: tuple[str, ...] = ()
    output_fault: str | None = None
    data_faults: tuple[str, ...] = ()
    port_fault: str | None = None
    devices_fault: Fault | None = None
    needs: tuple[Need, ...] = ()
    shm_free_bytes: int = SHM_BYTES
    nvme_fault: str | None = None
    attention_fault: str | None = None
    build_fault: str | None = None
    cache_faults: tuple[str, ...] = ()


def check(plan: Plan, facts: Facts) -> None:
    """UsageError or MissingError with every fault, one a line, when the run must not be started."""
    refuse(tuple(find_faults(plan, facts)))


def refuse(faults: Sequence[Fault]) -> None:
    """Raise the faults as one error; usage decides the exit code. Nothing where there is none."""
    if not faults:
        return
    lines = [fault.text for fault in faults]
    if len(faults) > 1:
        lines.append(f"{len(faults)} things stand in the way; nothing was started.")
    kind: type[TunekitError] = UsageError if any(fault.kind == "usage" for fault in faults) else MissingError
    raise kind("\n".join(lines))


def find_faults(plan: Plan, facts: Facts) -> Iterator[Fault]:
    """Every reason not to start, what was typed first."""
    yield from _said("usage", "output", facts.output_fault)
    yield from _said("usage", "data", *facts.data_faults)
    yield from _said("usage", "rendezvous", facts.port_fault)
    yield from _devices(plan, facts)
    yield from _packages(facts)
    yield from _said("missing", "versions", *facts.version_faults)
    yield from _free_gpu_memory(plan, facts)
    yield from _free_ram(plan, facts)
    yield from _shared_memory(plan, facts)
    yield from _disks(facts)
    yield from _said("missing", "nvme", facts.nvme_fault)
    yield from _said("missing", "flash_attention", facts.attention_fault)
    yield from _said("missing", "compiler", facts.build_fault)
    yield from _said("missing", "disks", *facts.cache_faults)


def _said(kind: Literal["usage", "missing"], check: Check, *texts: str | None) -> Iterator[Fault]:
    """What was found while gathering, in its own words."""
    return (Fault(kind=kind, check=check, text=text) for text in texts if text is not None)


def _packages(facts: Facts) -> Iterator[Fault]:
    fault = packages_fault(facts.missing_modules)
    yield from _said("missing", "versions", fault)


def packages_fault(missing: Sequence[str]) -> str | None:
    """What to install where modules that training imports are not there."""
    if not missing:
        return None
    hint = "pip install wandb" if tuple(missing) == ("wandb",) else "pip install 'tunekit[train]'"
    return f"packages that training needs are not installed: {', '.join(missing)}; {hint}."


def is_for_another_machine(plan: Plan, machine: Machine) -> bool:
    """Whether the planned cards are not here: it can be shown, but not started."""
    return len(plan.hardware.gpus) > len(machine.hardware.gpus)


def _devices(plan: Plan, facts: Facts) -> Iterator[Fault]:
    if facts.devices_fault is not None:
        yield facts.devices_fault
    elif is_for_another_machine(plan, facts.machine):
        here = len(facts.machine.hardware.gpus)
        seen = f"{here} GPU{'s' if here != 1 else ''}" if here else "no GPU"
        yield Fault(
            kind="missing",
            check="accelerator",
            text=f"planned for {plan.hardware.name} ({_cards(plan.hardware)}), but this machine has {seen}; "
            "set hardware=local to plan and run on this machine.",
        )


def _cards(hardware: Hardware) -> str:
    names = sorted({gpu.name for gpu in hardware.gpus})
    return f"{len(hardware.gpus)} x {' / '.join(names)}"


def _free_gpu_memory(plan: Plan, facts: Facts) -> Iterator[Fault]:
    needed = plan.memory.device.expected_bytes
    for index, free in islice(facts.machine.gpu_free_bytes.items(), len(plan.hardware.gpus)):
        if free < needed:
            yield Fault(
                kind="missing",
                check="gpu_memory",
                text=f"GPU {index} has {format_bytes(free)} free, the plan needs {format_bytes(needed)}: "
                "another program holds the rest; end it (nvidia-smi shows which).",
            )


def _free_ram(plan: Plan, facts: Facts) -> Iterator[Fault]:
    needed, usable = plan.memory.host.expected_bytes, facts.machine.hardware.host.usable_ram_bytes
    if needed <= usable:
        return
    cure = "end what holds the rest"
    if needed > facts.machine.hardware.host.ram_bytes:
        total = format_bytes(facts.machine.hardware.host.ram_bytes)
        cure = f"more than its {total} in all: `tunekit plan` with --on local says what would fit"
    elif plan.hardware.name != facts.machine.hardware.name:
        cure += f", or set hardware={facts.machine.hardware.name} to plan for what is here"
    have, want = format_bytes(usable), format_bytes(needed)
    text = f"this machine has {have} of RAM to use now, the plan needs {want}; {cure}."
    yield Fault(kind="missing", check="ram", text=text)


def shared_memory_needed(plan: Plan) -> int:
    """Bytes of /dev/shm: for NCCL without peer access between several GPUs, for DeepSpeed's all-reduce on the CPU."""
    ranks = plan.job.batch.world_size
    if ranks < 2:
        return 0
    return SHM_BYTES if plan.job.accelerator == "cuda" else ranks * CPU_SHM_BYTES


def _shared_memory(plan: Plan, facts: Facts) -> Iterator[Fault]:
    needed = shared_memory_needed(plan)
    if facts.shm_free_bytes < needed:
        yield Fault(
            kind="missing",
            check="shm",
            text=f"/dev/shm has {format_bytes(facts.shm_free_bytes)} free, {plan.job.batch.world_size} processes need "
            f"{format_bytes(needed)} to exchange tensors; in a container start it with --shm-size=16g.",
        )


def _disks(facts: Facts) -> Iterator[Fault]:
    by_device: dict[int, list[Need]] = {}
    for need in facts.needs:
        by_device.setdefault(need.mount.device, []).append(need)
    for needs in by_device.values():
        total, free = sum(need.bytes for need in needs), needs[0].mount.free_bytes
        if total > free:
            written = [need for need in needs if need.bytes]
            parts = " + ".join(f"{need.what} {format_bytes(need.bytes)}" for need in written)
            settings = " or ".join(need.setting for need in written)
            yield Fault(
                kind="missing",
                check="disks",
                text=f"the drive of {needs[0].mount.path} has {format_bytes(free)} free, the run writes "
                f"{format_bytes(total)} ({parts}); free space, or set {settings} to another drive.",
            )
