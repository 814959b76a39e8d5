"""The shipped machines, and finding them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunekit.errors import RecipeError, UsageError
from tunekit.hardware import profiles
from tunekit.hardware.profiles import load_profile, profile_names
from tunekit.units import GB, GIB

NAMES = (
    "8x_a100_80gb",
    "8x_h100_80gb",
    "a100_80gb",
    "dual_rtx3090",
    "dual_rtx4090",
    "dual_rtx4090_7950x3d",
    "quad_rtx4090",
    "single_rtx4090",
)


def text_of(name: str) -> str:
    return (Path(profiles.__file__).with_name("profiles") / f"{name}.yaml").read_text(encoding="utf-8")


def test_all_eight_are_shipped() -> None:
    assert profile_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_whole(name: str) -> None:
    machine = load_profile(name)
    assert machine.name == name
    assert machine.source
    assert machine.description
    counts = {"8x": 8, "dual": 2, "quad": 4, "single": 1, "a100": 1}
    assert len(machine.gpus) == counts[name.partition("_")[0]]
    assert machine.link is not None
    assert machine.host.usable_ram_bytes < machine.host.ram_bytes
    assert all(0 < disk.usable_bytes < disk.total_bytes for disk in machine.disks)
    assert machine.power is not None
    assert machine.power.host_watts < machine.power.load_watts
    assert machine.host.vector_bits in {256, 512}
    assert machine.link.nvlink == (machine.link.nvlink_rate > 0)
    if "a100" not in name and "h100" not in name:
        assert machine.price is not None
        assert machine.price.note
        assert all(disk.endurance_bytes for disk in machine.disks)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_source(name: str) -> None:
    numbers = [line for line in text_of(name).splitlines() if re.search(r"^\s+(- )?\w+: [\d.]+\b(?! x)", line)]
    assert len(numbers) >= 11
    assert [line for line in numbers if len(line.partition("#")[2]) < 4] == []


def test_the_home_machine() -> None:
    machine = load_profile("dual_rtx4090")
    assert [card.usable_bytes for card in machine.gpus] == [int(23.5 * GIB)] * 2
    assert machine.link is not None
    assert (machine.link.pcie_generation, machine.link.pcie_lanes) == (4, 8)
    assert (machine.link.nvlink, machine.link.p2p) == (False, False)
    assert machine.host.cpu == "AMD Ryzen 9 7900X"
    assert machine.host.cores == 12
    assert machine.host.ram_bytes == 94 * GIB
    assert machine.host.usable_ram_bytes == 87 * GB
    assert [disk.total_bytes // GB for disk in machine.disks] == [2000, 2000, 4000]


def test_what_the_home_machine_cost_and_draws() -> None:
    machine = load_profile("dual_rtx4090")
    assert machine.price is not None
    assert (machine.price.amount, machine.price.currency) == (42_723, "CNY")
    assert machine.power is not None
    assert machine.power.load_watts == 1000


def test_the_second_box() -> None:
    machine = load_profile("dual_rtx4090_7950x3d")
    assert (machine.host.cpu, machine.host.cores) == ("AMD Ryzen 9 7950X3D", 16)
    assert [disk.total_bytes // GB for disk in machine.disks] == [2000]


def test_only_rented_boxes_have_nvlink() -> None:
    linked = [name for name in NAMES if (link := load_profile(name).link) is not None and link.nvlink]
    assert linked == ["8x_a100_80gb", "8x_h100_80gb"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dual_rtx490", "Did you mean dual_rtx4090?"),
        ("locl", "Did you mean local?"),
        ("rtx4090", "Did you mean single_rtx4090?"),
        ("RTX-3090", "Did you mean dual_rtx3090?"),
        ("boxes/mine.yaml", "there is no file boxes/mine.yaml"),
    ],
)
def test_an_unknown_machine(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        load_profile(name)


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "workshop.yaml"
    path.write_text(text_of("single_rtx4090"), encoding="utf-8")
    machine = load_profile(str(path))
    assert machine.name == "workshop"
    assert machine.gpus == load_profile("single_rtx4090").gpus


def test_faults_name_the_file_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "workshop.yaml"
    path.write_text("host: 3\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_profile(str(path))
    assert f"{path}:1: host: found 3; a section of `key: value` lines" in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "workshop.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        load_profile(str(path))
