from __future__ import annotations

from dataclasses import replace

import pytest

from tests.examining import READINGS, healthy, with_readings, with_trial, without_trials
from tunekit.doctor.disks import disks, nvme, place_of
from tunekit.doctor.readings import Place
from tunekit.launcher.preflight import Fault, Mount, Need
from tunekit.units import GIB

SWAP = Place(what="swap files", path="/nvme/swap", free_bytes=800 * GIB, file_system="xfs", direct=True)
NVME = {"zero": {"offload_optimizer": "nvme", "nvme_path": "/nvme/swap"}}


def with_place(case, what, **changes):
    places = tuple(replace(place, **changes) if place.what == what else place for place in case.readings.places)
    return with_readings(case, places=places)


def swapping(**changes):
    case = healthy(job=NVME)
    return with_readings(case, places=(*READINGS.places, replace(SWAP, **changes)))


def test_room():
    mount = Mount(path="/data", device=1, free_bytes=0)
    needs = (Need(what="checkpoints", setting="output.dir", mount=mount, bytes=3 * GIB),)
    seen = disks(healthy(needs=needs))
    assert seen.state == "ok"
    assert seen.found == "900.0 GiB for output, hub cache; 40.0 GiB for temporary files; the run writes 3.0 GiB"
    assert "writes" not in disks(healthy(plan=False)).found
    fault = Fault(kind="missing", check="disks", text="the drive is full; free space.")
    assert disks(healthy(faults=(fault,))).state == "blocks"


@pytest.mark.parametrize(
    ("what", "change", "words"),
    [
        ("output", {"free_inodes": 50}, "room for 50 more files"),
        ("output", {"file_system": "tmpfs"}, "lies in RAM"),
        ("output", {"file_system": "overlay"}, "in the container itself"),
        ("temporary files", {"free_bytes": GIB // 2}, "512 MiB free for temporary files"),
    ],
)
def test_places_that_will_be_a_pity(what, change, words):
    seen = disks(with_place(healthy(), what, **change))
    assert (seen.state, words in seen.found) == ("warning", True)
    assert seen.cure


def test_swapping_to_a_drive():
    assert nvme(healthy()).state == "not needed"
    assert nvme(swapping()).found == "/nvme/swap (xfs), 800.0 GiB free, reads 6.0 GB/s, writes 3.0 GB/s"
    assert place_of(swapping(), "swap files").path == "/nvme/swap"


def test_drives_that_cannot_be_swapped_to():
    assert (nvme(swapping(file_system="nfs4")).state, nvme(swapping(file_system="tmpfs")).state) == ("blocks",) * 2
    assert "O_DIRECT" in nvme(swapping(direct=False)).found
    assert nvme(swapping(direct=False)).state == "blocks"
    fault = Fault(kind="missing", check="nvme", text="zero.nvme_path is a file; set another.")
    assert nvme(replace(swapping(), faults=(fault,))).cure == "set another"


def test_a_slow_drive():
    slow = nvme(with_trial(swapping(), "drive", {"read_rate": 5e8, "write_rate": 4e8}))
    assert (slow.state, "zero.offload_optimizer=cpu" in slow.cure) == ("warning", True)
    assert nvme(without_trials(swapping())).state == "cannot tell"
    assert nvme(with_trial(swapping(), "drive", missing="less than 640 MiB free")).state == "cannot tell"
