"""Checks of the host's memory and cores. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.doctor.case import NO_GPU, Case
from tunekit.doctor.finding import Check, Seen, blocks, not_needed, ok, unknown, warning
from tunekit.hardware.checks import ram_warnings
from tunekit.launcher.build import binds_cores
from tunekit.launcher.environment import pins_exactly, threads_per_rank
from tunekit.launcher.preflight import CPU_SHM_BYTES, SHM_BYTES, shared_memory_needed
from tunekit.planner.pinning import pinned_bytes
from tunekit.planner.plan import Plan
from tunekit.units import GIB, format_bytes

BEHIND_SHARED_MEMORY = "in a container start it with --shm-size=16g"


def shm(case: Case) -> Seen:
    """/dev/shm, in which processes exchange tensors."""
    refused = case.refused("shm")
    if refused is not None:
        return refused
    free = case.readings.memory.shm_free
    if case.plan is not None:
        needed = shared_memory_needed(case.plan)
    else:
        needed = 0 if case.ranks < 2 else SHM_BYTES if case.on_cards else case.ranks * CPU_SHM_BYTES
    if free < needed:
        found = f"/dev/shm has {format_bytes(free)} free, {case.ranks} processes need {format_bytes(needed)}"
        return blocks(found, BEHIND_SHARED_MEMORY)
    return ok(f"{format_bytes(free)} free" + (f", {format_bytes(needed)} needed" if needed else ""))


def ram(case: Case) -> Seen:
    """RAM that can be had, within the cgroup; swap; what may be locked."""
    refused = case.refused("ram")
    if refused is not None:
        return refused
    memory = case.readings.memory
    needed = f", {format_bytes(case.plan.memory.host.expected_bytes)} planned" if case.plan else ""
    limit = f", cgroup limit {format_bytes(memory.limit)}" if memory.limit is not None else ""
    swap = f"swap {format_bytes(memory.swap_total)}" if memory.swap_total else "no swap"
    lock = "any amount may be locked" if memory.memlock is None else f"{format_bytes(memory.memlock)} may be locked"
    found = f"{format_bytes(memory.available)} of {format_bytes(memory.total)} free{needed}{limit}, {swap}, {lock}"
    watch = case.plan.recipe.watch if case.plan else None
    least = watch.ram_free_gib if watch is not None and watch.every_seconds is not None else None
    if least is not None and memory.available + memory.swap_free < least * GIB:
        return blocks(
            f"{found}; RAM and swap are below watch.ram_free_gib ({least:g}) already: the run would be stopped at once",
            "end what holds the RAM, or a smaller watch.ram_free_gib",
        )
    doubts = tuple(_tight(case))
    if doubts:
        said, cures = zip(*doubts, strict=True)
        return warning("; ".join((found, *said)), "; ".join(cures))
    small = next(ram_warnings(case.hardware), None) if case.plan is None and case.on_cards else None
    return (
        ok(found) if small is None else warning(small.rstrip("."), "plan first: tunekit plan RECIPE says what it takes")
    )


def _tight(case: Case) -> Iterator[tuple[str, str]]:
    memory = case.readings.memory
    if memory.swap_total and memory.swap_free * 2 < memory.swap_total:
        yield "more than half of the swap is in use", "end what holds the RAM: training would crawl"
    if memory.address_space is not None:
        more = "CUDA and mapped weights" if case.on_cards else "mapped weights"
        said = (
            f"each process may map {format_bytes(memory.address_space)} (ulimit -v), and {more} map more than they use"
        )
        yield said, "ulimit -v unlimited in the shell that set it, or as root where it is a hard limit"


def pinned(case: Case) -> Seen:
    """Page-locking what the plan page-locks."""
    if not case.on_cards:
        return not_needed(NO_GPU)
    size = bytes_to_pin(case.plan) if case.plan else 0
    if not size:
        return not_needed("nothing large is page-locked")
    tried = case.tried("pinned")
    backend = "DeepSpeed's own allocator" if case.plan and pins_exactly(case.plan, case.caller) else "torch's allocator"
    if tried is None:
        return unknown(f"{format_bytes(size)} will be page-locked by {backend}; not tried")
    if tried.missing:
        found = f"{format_bytes(size)} cannot be page-locked by {backend}: {tried.missing}"
        return blocks(found, "zero.pin_memory=false, or ulimit -l unlimited")
    done = int(tried.found["bytes"])
    whole = "" if done >= size else f" of {format_bytes(size)}"
    return ok(f"{format_bytes(done)}{whole} page-locked by {backend} in {tried.found['seconds']:.1f} s")


def bytes_to_pin(plan: Plan) -> int:
    """Bytes of RAM that the plan page-locks, over all ranks."""
    zero = plan.job.zero
    offloads = (zero.offload_optimizer, zero.offload_param) != ("none", "none")
    return pinned_bytes(plan.memory.terms, zero.stage) if offloads and zero.pin_memory else 0


def cores(case: Case) -> Seen:
    """Cores for each rank, and whether ranks keep to theirs."""
    count, ranks = case.hardware.host.cores, case.ranks
    threads = threads_per_rank(case.plan) if case.plan else max(1, count // ranks)
    wanted = case.caller.environ.get("OMP_NUM_THREADS", "")
    whose = "the one rank" if ranks == 1 else f"each of {ranks} ranks"
    found = f"{count} physical core{'s' if count != 1 else ''}, threads of {whose}: {wanted or threads}"
    offloads = case.plan is not None and case.plan.job.zero.offload_optimizer != "none"
    if wanted.isdigit() and int(wanted) < threads and (offloads or not case.on_cards):
        return warning(f"OMP_NUM_THREADS={wanted} stands in the environment: {found}", "unset OMP_NUM_THREADS")
    if case.plan is not None and binds_cores(case.plan, case.caller):
        return ok(f"{found}, bound to cores of its own")
    if offloads and case.on_cards and ranks > 1 and not case.caller.has_numactl:
        return warning(f"{found}, not bound: numactl is not here (14 to 23 % slower offload)", "apt install numactl")
    return ok(found)


CHECKS = (
    Check(
        name="shm",
        group="host memory",
        title="/dev/shm",
        why="NCCL without peer access and data loaders live there; too small ends in a bus error.",
        look=shm,
    ),
    Check(
        name="ram",
        group="host memory",
        title="RAM",
        why="The kernel kills what asks for more, mostly while loading or saving, without a traceback.",
        look=ram,
    ),
    Check(
        name="pinned",
        group="host memory",
        title="page-locked",
        why="torch rounds page-locked blocks up to powers of two, and WSL and ulimit -l allow little.",
        look=pinned,
        of_recipe=True,
        at_launch=False,
    ),
    Check(
        name="cores",
        group="host memory",
        title="cores",
        why="The optimizer of an offloaded run works on the processor.",
        look=cores,
    ),
)
