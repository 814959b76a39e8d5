"""Checks of the drives: room for what is written, and NVMe offload. Pure."""

from __future__ import annotations

from tunekit.doctor.case import Case
from tunekit.doctor.finding import Check, Seen, blocks, not_needed, ok, unknown, warning
from tunekit.doctor.readings import Place
from tunekit.units import GB, GIB, format_bytes

SWAP = "swap files"
OUTPUT, TEMPORARY = "output", "temporary files"
IN_MEMORY = ("tmpfs", "ramfs")
OF_THE_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "lustre", "beegfs", "ceph")
NO_SWAPPING = (*IN_MEMORY, *OF_THE_NETWORK, "overlay")
LEAST_INODES = 10_000
LEAST_TEMPORARY = 1 * GIB
SLOW = 1 * GB
"""Bytes per second below which swapping to a drive is out of the question: one card wants 3 GB/s (DeepSpeed 998)."""


def nvme(case: Case) -> Seen:
    """The drive that states are swapped to."""
    refused = case.refused("nvme")
    if refused is not None:
        return refused
    place = place_of(case, SWAP)
    if place is None:
        return not_needed("nothing is swapped to a drive")
    if place.file_system in NO_SWAPPING:
        found = f"{place.path} lies on {place.file_system}, which is no local drive"
        return blocks(found, "zero.nvme_path=/a/folder/on/an/NVMe/drive")
    if place.direct is False:
        found = f"{place.path} ({place.file_system}) does not take O_DIRECT, which DeepSpeed's async_io needs"
        return blocks(found, "zero.nvme_path on ext4 or xfs")
    tried = case.tried("drive")
    here = f"{place.path} ({place.file_system}), {format_bytes(place.free_bytes)} free"
    if tried is None or tried.missing:
        return unknown(f"{here}; its speed: {tried.missing if tried else 'not tried'}")
    read, write = tried.found["read_rate"], tried.found["write_rate"]
    rates = f"{here}, reads {read / GB:.1f} GB/s, writes {write / GB:.1f} GB/s"
    if min(read, write) < SLOW:
        return warning(rates, "a faster drive, or offload to RAM: zero.offload_optimizer=cpu")
    return ok(rates)


def disks(case: Case) -> Seen:
    """Room and inodes wherever the run writes, and drives that vanish."""
    refused = case.refused("disks")
    if refused is not None:
        return refused
    for place in case.readings.places:
        seen = _place(case, place)
        if seen is not None:
            return seen
    written = sum(need.bytes for need in case.needs)
    return ok(_rooms(case) + (f"; the run writes {format_bytes(written)}" if case.plan else ""))


def _rooms(case: Case) -> str:
    """`68.6 GiB for output, hub cache; 3.0 TiB for swap files`: places with the same room lie on one drive."""
    rooms: dict[str, list[str]] = {}
    for place in case.readings.places:
        rooms.setdefault(format_bytes(place.free_bytes), []).append(place.what)
    return "; ".join(f"{size} for {', '.join(names)}" for size, names in rooms.items())


def _place(case: Case, place: Place) -> Seen | None:
    """What is wrong with one place, if anything."""
    if place.free_inodes is not None and place.free_inodes < LEAST_INODES:
        found = f"the drive of {place.path} has room for {place.free_inodes:,} more files only"
        return warning(found, "remove small files (caches, old runs)")
    if place.what == TEMPORARY and place.free_bytes < LEAST_TEMPORARY:
        found = f"{place.path} has {format_bytes(place.free_bytes)} free for temporary files"
        return warning(found, "free space, or set TMPDIR to another drive")
    if place.what == OUTPUT and place.file_system in IN_MEMORY:
        found = (
            f"output.dir {place.path} lies in RAM ({place.file_system}): it takes memory and is gone after a restart"
        )
        return warning(found, "set output.dir to a folder on a drive")
    if place.what == OUTPUT and place.file_system == "overlay" and case.has_recipe:
        found = f"output.dir {place.path} lies in the container itself: it goes with it"
        return warning(found, "set output.dir to a folder on a volume")
    return None


def place_of(case: Case, what: str) -> Place | None:
    """The place of that name, where the run has one."""
    return next((place for place in case.readings.places if place.what == what), None)


CHECKS = (
    Check(
        name="disks",
        group="disks",
        title="room",
        why="A full drive loses the checkpoint that is being written; full fine-tuning writes 14 bytes per parameter.",
        look=disks,
    ),
    Check(
        name="nvme",
        group="disks",
        title="NVMe offload",
        why="States are swapped in every step; DeepSpeed aborts on file systems without O_DIRECT.",
        look=nvme,
        of_recipe=True,
        at_launch=False,
    ),
)
