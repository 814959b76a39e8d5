from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.fake_nvml import Card, FakeNvml
from tunekit.probes.card_states import cards_on_the_bus, is_orphan, read_cards


@pytest.fixture(autouse=True)
def all_visible(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def device(bus: Path, name: str, vendor: str, kind: str) -> None:
    (bus / name).mkdir(parents=True)
    (bus / name / "vendor").write_text(f"{vendor}\n")
    (bus / name / "class").write_text(f"{kind}\n")


def process(proc: Path, pid: int, *, parent: int, session: int) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} (python3 (x)) S {parent} {pid} {session} 0\n")


def test_the_cards_of_this_machine_or_why_there_are_none():
    cards = read_cards()
    assert cards.shown or cards.missing


def test_cards_with_their_temperature_and_who_holds_them(tmp_path):
    first = Card(uuid="GPU-a", celsius=41, holders=((1, 2**30), (os.getpid(), 5)))
    nvml = FakeNvml((first, Card(uuid="GPU-b")), peers=True)
    cards = read_cards(nvml, bus=tmp_path)
    assert [card.temperature for card in cards.shown] == [41, 65]
    assert [holder.pid for holder in cards.shown[0].holders] == [1]
    assert cards.shown[0].holders[0].bytes == 2**30
    assert (cards.driver, cards.peers, cards.uuids) == ("580.65.06", True, ("GPU-a", "GPU-b"))
    assert nvml.log.count("init") == nvml.log.count("shutdown")


def test_what_the_driver_does_not_tell_is_left_out(tmp_path):
    refuses = ("nvmlDeviceGetTemperature", "nvmlDeviceGetComputeRunningProcesses")
    (card,) = read_cards(FakeNvml((Card(),), refuses=refuses), bus=tmp_path).shown
    assert (card.temperature, card.holders) == (None, ())


def test_a_base_install_without_the_library_of_nvidia(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    cards = read_cards(bus=tmp_path)
    assert (cards.shown, cards.driver) == ((), None)
    assert "nvidia-ml-py is not installed" in cards.missing


def test_a_driver_that_does_not_answer(tmp_path):
    cards = read_cards(FakeNvml((), refuses=("nvmlInit",)), bus=tmp_path)
    assert (cards.shown, cards.driver) == ((), None)
    assert "no NVIDIA driver answers" in cards.missing


def test_cards_on_the_bus(tmp_path):
    device(tmp_path, "0000:01:00.0", "0x10de", "0x030000")
    device(tmp_path, "0000:01:00.1", "0x10de", "0x040300")
    device(tmp_path, "0000:02:00.0", "0x1002", "0x030000")
    assert cards_on_the_bus(tmp_path) == 1
    assert cards_on_the_bus(tmp_path / "none") == 0


def test_orphans(tmp_path):
    process(tmp_path, 10, parent=1, session=9)
    process(tmp_path, 11, parent=1, session=11)
    process(tmp_path, 12, parent=9, session=9)
    assert is_orphan(10, "python3", proc=tmp_path)
    assert not is_orphan(11, "python3", proc=tmp_path)
    assert not is_orphan(12, "python3", proc=tmp_path)
    assert not is_orphan(10, "Xorg", proc=tmp_path)
    assert not is_orphan(99, "python3", proc=tmp_path)
