"""The watcher with eyes, clock and ranks of our own."""

from __future__ import annotations

import dataclasses
import json
import signal
from typing import Any

import pytest

from tests.planning import SMOLLM, machine, recipe_for, shape_of
from tests.plans import DUAL_4090, make_plan, make_recipe
from tests.runs import steps, write_lines, write_run
from tunekit.backends import watching
from tunekit.backends.recording import RecordedProcess, Script
from tunekit.backends.watching import Watched, Watcher, append, planned_checkpoint_bytes, room_for_next
from tunekit.launcher.json_lines import read_lines
from tunekit.launcher.stop_request import read_stop_request
from tunekit.planner.make import make_plan as planner
from tunekit.probes.sampling import Sampler
from tunekit.units import GIB
from tunekit.watch.sample import GpuSample, HostSample, Sample
from tunekit.watch.stacks import Frame, RankStack

ROOMY = HostSample(total_bytes=64 * GIB, available_bytes=40 * GIB)
CRAMPED = HostSample(total_bytes=64 * GIB, available_bytes=GIB // 4)
NOBODY = 2**22 + 10
"""Beyond the largest process id."""
HOT = GpuSample(index=0, used_bytes=GIB, total_bytes=24 * GIB, celsius=95)


class FakeEyes:
    """See what they are told to see."""

    def __init__(self) -> None:
        self.host, self.gpus, self.looks, self.closed = ROOMY, (), 0, False

    def look(self) -> Sample:
        self.looks += 1
        return Sample(time=1000.0 + self.looks, host=self.host, gpus=self.gpus)

    def memory(self) -> HostSample:
        return self.host

    def close(self) -> None:
        self.closed = True


class FakeBoard:
    """Keeps what is drawn."""

    def __init__(self, *, broken: bool = False) -> None:
        self.samples: list[Sample] = []
        self.closed, self.broken = False, broken

    def write(self, sample: Sample) -> None:
        if self.broken:
            raise ImportError("no tensorboard")
        self.samples.append(sample)

    def close(self) -> None:
        self.closed = True


class Place:
    """A watcher, what it sees with, and what it says."""

    def __init__(self, path: Any, **watch: Any) -> None:
        self.plan = make_plan(recipe=make_recipe(watch={"every_seconds": 5, "silent_seconds": 60, **watch}))
        self.run_dir = write_run(path, self.plan)
        self.eyes, self.board, self.now = FakeEyes(), FakeBoard(), 100.0
        self.said: list[str] = []
        self.watcher = self.make()

    def make(self) -> Watcher:
        return Watcher(
            self.plan,
            self.run_dir,
            self.eyes,
            pids=lambda: {0: NOBODY, 1: NOBODY + 1},
            say=lambda finding, progress: self.said.append(f"{finding.rule} at step {progress.step}"),
            board=self.board,
            clock=lambda: self.now,
        )

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.watcher.tick()

    def events(self) -> list[tuple[str, str]]:
        found = read_lines(self.run_dir.events)
        return [(event["rule"], event["change"]) for event in found if event["event"] == "watch"]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "run")


def test_samples_are_kept_and_drawn_when_they_are_due(place):
    place.watcher.tick()
    place.after(4.9)
    assert place.eyes.looks == 0
    place.after(0.2)
    place.after(1.5)
    place.after(5.0)
    kept = read_lines(place.run_dir.metrics)
    assert [record["time"] for record in kept] == [1001.0, 1002.0]
    assert {record["kind"] for record in kept} == {"sample"}
    assert [sample.time for sample in place.board.samples] == [1001.0, 1002.0]


def test_the_step_time_comes_from_the_ranks(place):
    write_lines(place.run_dir.metrics, steps(3.0, 2.5, 2.2))
    place.after(6)
    assert place.board.samples[0].step_seconds == 1.0
    assert place.watcher.progress.step == 3


def test_nothing_is_looked_at_when_it_is_off(tmp_path):
    place = Place(tmp_path / "run", every_seconds="off")
    place.eyes.host = CRAMPED
    place.after(1000)
    assert place.eyes.looks == 0
    assert not place.run_dir.stop_request.exists()


def test_a_finding_is_an_event_when_it_begins_and_when_it_is_over(place):
    place.eyes.gpus = (HOT,)
    place.after(6)
    place.after(6)
    place.after(6)
    assert place.events() == [("temperature", "began")]
    assert place.said == ["temperature at step 0"]
    place.eyes.gpus = ()
    place.after(6)
    place.after(6)
    assert place.events() == [("temperature", "began"), ("temperature", "ended")]
    assert place.said == ["temperature at step 0"]
    assert not place.run_dir.stop_request.exists()


def test_ram_is_looked_at_between_two_looks_and_asks_for_a_stop_with_a_checkpoint(place):
    place.eyes.host = CRAMPED
    place.after(1.1)
    assert place.eyes.looks == 0
    asked = read_stop_request(place.run_dir)
    assert asked.save
    assert "256 MiB of RAM and swap left" in asked.reason
    place.after(1.1)
    assert place.events() == [("ram", "began")]


def test_the_ranks_are_signalled_too_for_the_phases_in_which_no_step_looks_at_the_request(place, monkeypatch):
    signalled = []
    monkeypatch.setattr(watching.os, "kill", lambda pid, number: signalled.append((pid, number)))
    place.eyes.gpus = (HOT,)
    place.after(6)
    place.after(6)
    assert signalled == []
    place.eyes.host = CRAMPED
    place.after(1.1)
    assert signalled == [(NOBODY, signal.SIGTERM), (NOBODY + 1, signal.SIGTERM)]


def test_on_a_full_drive_the_stop_is_asked_for_first(place, monkeypatch):
    def full(path, record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watching, "append", full)
    place.eyes.host = CRAMPED
    place.after(6)
    assert read_stop_request(place.run_dir).reason
    assert place.said == ["ram at step 0"]


def test_what_fails_in_the_watch_is_said_once_and_harms_nothing(place):
    place.board.broken = True
    place.after(6)
    place.after(6)
    warnings = [event["text"] for event in read_lines(place.run_dir.events)]
    assert warnings == ["the watch could not do all of its work (ImportError: no tensorboard)"]
    assert len(read_lines(place.run_dir.metrics)) == 2


def test_the_links_plan_counts_where_there_are_cards(tmp_path):
    place = Place(tmp_path / "run")
    slow = dataclasses.replace(HOT, celsius=50, utilisation=99, pcie_generation=1, pcie_lanes=1)
    place.eyes.gpus = (slow,)
    place.after(6)
    place.after(6)
    assert place.events() == []
    place.plan = dataclasses.replace(place.plan, hardware=DUAL_4090)
    place.watcher = place.make()
    place.after(6)
    place.after(6)
    assert place.events() == [("pcie", "began")]


WAIT = Frame(name="all_reduce", file="/torch/distributed/distributed_c10d.py", line=9)


@pytest.fixture
def asked(place, monkeypatch):
    """How often the ranks were asked for their stacks; the second one is stopped."""
    calls: list[dict[int, int]] = []

    def dump(run_dir, pids):
        calls.append(dict(pids))
        run_dir.rank_stacks(0).write_text("its stack")
        return (RankStack(rank=0, pid=10, frames=(WAIT,)), RankStack(rank=1, pid=11, state="T"))

    monkeypatch.setattr(watching, "dump_stacks", dump)
    return calls


def test_silence_is_said_once_with_the_silent_rank(place, asked):
    write_lines(place.run_dir.metrics, steps(3.0, 2.9))
    write_lines(place.run_dir.events, [{"event": "phase", "phase": "train", "time": 1.0}])
    for _ in range(40):
        place.after(6)
    assert asked == [{0: NOBODY, 1: NOBODY + 1}]
    assert place.events() == [("silence", "began")]
    (event,) = [event for event in read_lines(place.run_dir.events) if event["event"] == "watch"]
    assert event["text"].startswith("no sign of life for 1 min 0")
    assert "in phase train: rank 1 is stopped by a signal" in event["text"]
    assert f"stacks of all ranks: {place.run_dir.logs}/rank_*.stacks" in event["text"]
    assert event["todo"] == "`kill -CONT 11` lets it go on"


def test_a_run_that_goes_on_is_said_and_heard_anew(place, asked):
    write_lines(place.run_dir.metrics, steps(3.0, 2.9))
    for _ in range(15):
        place.after(6)
    place.run_dir.rank_stacks(1).write_text("touched")
    place.after(6)
    assert place.events() == [("silence", "began"), ("silence", "ended")]
    for _ in range(15):
        place.after(6)
    assert len(asked) == 2


def test_signs_of_life_are_logs_events_and_touched_files(place, asked):
    for number in range(30):
        place.run_dir.rank_log(0).write_text("x" * number)
        place.after(6)
    assert asked == []


def test_long_steps_need_more_patience(place, asked):
    slow = [{**record, "seconds": 30.0} for record in steps(3.0, 2.9, 2.8)]
    write_lines(place.run_dir.metrics, slow)
    for _ in range(40):
        place.after(6)
    assert asked == []
    for _ in range(15):
        place.after(6)
    assert len(asked) == 1


def test_a_watched_process_looks_at_every_poll_and_closes_at_the_end(place):
    watched = Watched(RecordedProcess(Script(polls=2), place.run_dir), place.watcher)
    place.now += 6
    assert watched.poll() is None
    assert place.eyes.looks == 1
    assert watched.poll() is None
    observed = watched.poll()
    assert observed is not None
    assert (place.eyes.closed, place.board.closed) == (True, True)
    assert watched.poll() is observed


def test_a_watched_process_is_stopped_and_killed_as_it_is(place):
    process = RecordedProcess(Script(polls=None), place.run_dir)
    Watched(process, place.watcher).stop()
    assert process.stopped
    other = RecordedProcess(Script(polls=None), place.run_dir)
    Watched(other, place.watcher).kill()
    assert other.killed


def test_a_line_is_written_at_once(tmp_path):
    append(tmp_path / "a.jsonl", {"a": 1})
    append(tmp_path / "a.jsonl", {"b": 2})
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [{"a": 1}, {"b": 2}]


def test_room_for_the_next_checkpoint(tmp_path):
    """A drive with room for those that are kept and one more is never called full, amid a save neither."""

    def room():
        return room_for_next(tmp_path, planned=100, keep=2)

    def write(step, size):
        (tmp_path / f"checkpoint-{step}" / "states").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"checkpoint-{step}" / "states" / "a").write_bytes(b"x" * size)

    def seal(step):
        (tmp_path / f"checkpoint-{step}" / "complete.json").touch()

    assert room() == 100, "as planned, as long as there is none"
    write(5, 8)
    assert room() == 100
    seal(5)
    assert room() == 8
    write(10, 8)
    seal(10)
    assert room() == 8
    write(15, 3)
    assert room() == 5, "the rest of the one that is being written"
    write(15, 8)
    seal(15)
    assert room() == 0, "the oldest goes for it"


def test_bytes_of_a_planned_checkpoint():
    recipe = recipe_for(output__save_steps=10, output__keep_checkpoints=1)
    plan = planner(recipe, shape_of(SMOLLM), machine())
    (term,) = [term for term in plan.memory.terms if term.name == "checkpoints"]
    assert planned_checkpoint_bytes(plan) == term.disk_bytes // 2 > 0
    assert planned_checkpoint_bytes(make_plan()) == 0


class Container:
    """A cgroup (v2) of 8 GiB on a machine with 64, as the kernel shows it in folders of ours."""

    def __init__(self, path: Any) -> None:
        self.proc, self.cgroups = path / "proc", path / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.cgroups.mkdir()
        total = 64 * GIB // 1024
        (self.proc / "meminfo").write_text(
            f"MemTotal: {total} kB\nMemFree: {total} kB\nSwapTotal: {total} kB\nSwapFree: {total} kB\n"
        )
        (self.proc / "self" / "cgroup").write_text("0::/\n")
        self.write("memory.max", 8 * GIB)
        self.write("memory.swap.max", 0)
        self.uses(2 * GIB)

    def write(self, name: str, number: int) -> None:
        (self.cgroups / name).write_text(f"{number}\n")

    def uses(self, number: int, *, cache: int = 0) -> None:
        self.write("memory.current", number + cache)
        (self.cgroups / "memory.stat").write_text(f"anon {number}\ninactive_file {cache}\n")


def test_a_run_is_stopped_before_the_kernel_kills_it_for_its_cgroups_limit(place, tmp_path, monkeypatch):
    """With eyes as of a real run: the machine has RAM and swap left, the container has not."""
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(watching.os, "kill", lambda pid, number: signals.append((pid, number)))
    container = Container(tmp_path / "kernel")
    place.eyes = Sampler((), {}, proc=container.proc, cgroups=container.cgroups)
    place.watcher = place.make()
    place.after(6)
    container.uses(3 * GIB, cache=5 * GIB - 1)
    place.after(1.1)
    assert (place.said, signals) == ([], []), "cache can be dropped"
    container.uses(8 * GIB - GIB // 4)
    place.after(1.1)
    assert place.said == ["ram at step 0"], "seen between two long looks"
    asked = read_stop_request(place.run_dir)
    assert "256 MiB of RAM and swap left in the cgroup of 8.0 GiB" in asked.reason
    assert asked.save, "with a last checkpoint"
    assert signals == [(NOBODY, signal.SIGTERM), (NOBODY + 1, signal.SIGTERM)]
    place.after(6)
    assert place.events() == [("ram", "began")], "asked once"
    assert read_lines(place.run_dir.metrics)[-1]["host"]["cgroup_limit_bytes"] == 8 * GIB


def test_imports_may_take_longer_than_a_short_patience(place, asked):
    for _ in range(40):
        place.after(6)
    assert asked == []
    for _ in range(70):
        place.after(6)
    assert len(asked) == 1
