"""The user's own machines, and what was measured on this one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.planning import machine
from tunekit.errors import RecipeError, UsageError
from tunekit.hardware.probing import ASSUMED
from tunekit.hardware.profile_text import hardware_to_yaml
from tunekit.hardware.profiles import load_profile, own_names
from tunekit.hardware.spec import Hardware, Measured, Power, Price
from tunekit.probes.user_folder import config_folder, machines_folder, read_own_notices, with_own_figures
from tunekit.source import find_hardware

HERE = replace(machine(), name="local", source=f"probed now{ASSUMED}: RAM 40 GB/s")
KNOWN = replace(
    HERE,
    host=replace(HERE.host, ram_bandwidth=57_000_000_000, usable_ram_bytes=10**9),
    disks=tuple(replace(disk, read_rate=6_000_000_000, endurance_bytes=10**15, price=99.0) for disk in HERE.disks),
    power=Power(host_watts=200, load_watts=900, supply_watts=1200),
    price=Price(amount=1.0, currency="CNY", date="2026-01"),
    measured=Measured(date="2026-11-22", to_gpu_rate=12_000_000_000),
)


def written(folder: Path, box: Hardware, name: str = "local") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(hardware_to_yaml(box), encoding="utf-8")
    return path


def test_where_it_lies(tmp_path: Path) -> None:
    assert config_folder({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "tunekit"
    assert machines_folder({"XDG_CONFIG_HOME": ""}) == Path("~/.config/tunekit/hardware").expanduser()


def test_measured_rates_are_used_and_what_is_free_now_stays(tmp_path: Path) -> None:
    path = written(tmp_path, KNOWN)
    box = with_own_figures(HERE, tmp_path)
    assert (box.measured, box.power, box.price) == (KNOWN.measured, KNOWN.power, KNOWN.price)
    assert box.host == replace(HERE.host, ram_bandwidth=57_000_000_000)
    assert box.disks[0].read_rate == 6_000_000_000
    assert (box.disks[0].endurance_bytes, box.disks[0].price) == (10**15, 99.0)
    assert box.source == f"probed now; rates of {path}"


def test_a_file_about_other_parts_is_not_used_and_said(tmp_path: Path) -> None:
    path = written(tmp_path, replace(KNOWN, host=replace(KNOWN.host, cpu="another")))
    box = with_own_figures(HERE, tmp_path)
    assert replace(box, source="") == replace(HERE, source="")
    assert f"{path} is about another machine (NVIDIA GeForce RTX 4090, another): not used" in box.source


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    assert with_own_figures(HERE, tmp_path / "nowhere") is HERE


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "local.yaml").write_text("host: 3\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"local\.yaml:1: host"):
        with_own_figures(HERE, tmp_path)


def test_profiles_of_the_users_own_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = machines_folder()
    folder.mkdir(parents=True)
    written(folder, KNOWN, "workshop")
    written(folder, KNOWN)
    assert own_names(folder) == ("workshop",)
    box = find_hardware("workshop")
    assert (box.name, box.measured) == ("workshop", KNOWN.measured)
    with pytest.raises(UsageError, match=r"allowed: .*workshop, local.*Did you mean workshop\?"):
        find_hardware("workshp")


def test_a_shipped_name_is_not_taken(tmp_path: Path) -> None:
    written(tmp_path, KNOWN, "dual_rtx4090")
    with pytest.raises(UsageError, match="is shipped and .* has the same name; rename that file"):
        load_profile("dual_rtx4090", tmp_path)
    assert load_profile("dual_rtx4090").price != KNOWN.price


def test_notices_of_the_users_own(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    path, found = read_own_notices(environ)
    assert (path, found) == (tmp_path / "tunekit" / "notify.yaml", {})
    path.parent.mkdir()
    path.write_text("url: $HOOK\ncommand: [say, done]\n")
    assert read_own_notices(environ)[1] == {"url": "$HOOK", "command": ["say", "done"]}
    path.write_text("")
    assert read_own_notices(environ)[1] == {}
    path.write_text("- a list")
    assert read_own_notices(environ)[1] == {"": ["a list"]}


def test_notices_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path, _ = read_own_notices({"XDG_CONFIG_HOME": str(tmp_path)})
    path.parent.mkdir()
    path.write_text("url: [a\n")
    with pytest.raises(UsageError, match=r"notify.yaml cannot be read: ParserError; it holds"):
        read_own_notices({"XDG_CONFIG_HOME": str(tmp_path)})
