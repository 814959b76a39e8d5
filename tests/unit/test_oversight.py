"""A run under watch tells its user's own program what happens, and is watched where it writes and computes."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.plans import DUAL_4090, make_plan, make_recipe
from tests.runs import steps, write_checkpoint, write_lines, write_run
from tunekit.backends.recording import RecordedProcess, Script
from tunekit.doctor.readings import Told
from tunekit.errors import UsageError
from tunekit.launcher.outcome import RunResult
from tunekit.launcher.progress import Progress
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.stop_request import StopAsked, ask_to_stop
from tunekit.oversight import Oversight, can_be_told, cards_of, drives_of, ending
from tunekit.units import GIB
from tunekit.watch.findings import Finding

KEEP = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "notices"


@pytest.fixture
def make(tmp_path, kept):
    """Makes an oversight whose notices are kept."""

    def build(**watch):
        command = [sys.executable, "-c", KEEP, str(kept)]
        plan = make_plan(recipe=make_recipe(watch={"notify_command": command, **watch}, output={"dir": "runs/x"}))
        run_dir = write_run(tmp_path / "run", plan)
        return Oversight(plan, run_dir, environ={"XDG_CONFIG_HOME": str(tmp_path)}), run_dir

    return build


def told(kept):
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


RESULT = RunResult(state="done", attempt=1, exit_code=0, success={"steps": 20, "loss_last": 1.25})


def test_the_start_a_warning_and_the_end_are_told(make, kept):
    oversight, run_dir = make()
    oversight.over(RecordedProcess(Script(), run_dir), ())
    write_lines(run_dir.metrics, steps(3.0, 2.0, max_steps=20))
    oversight._warn(Finding(rule="temperature", place="GPU 0", text="hot", todo="cool it"), Progress(step=7))
    oversight.ended(RESULT)
    started, warned, done = told(kept)
    assert started["event"] == "started"
    assert (warned["rule"], warned["step"], warned["todo"]) == ("temperature", 7, "cool it")
    assert warned["text"].endswith(": hot; cool it")
    assert (done["step"], done["max_steps"]) == (2, 20)
    assert done["text"].endswith(f": done: 20 steps, loss 1.2500; the result lies in {run_dir.final}")


def test_only_chosen_occasions_are_told(make, kept):
    oversight, run_dir = make(notify=["failed"])
    oversight.over(RecordedProcess(Script(), run_dir), ())
    oversight.ended(replace(RESULT, state="failed", cause=("ValueError: x",), phase="train"))
    (failed,) = told(kept)
    assert f"failed in phase train: ValueError: x; `tunekit status {run_dir.path}`" in failed["text"]


def test_the_reason_of_a_stop_is_told(make, kept):
    oversight, run_dir = make(notify=["stopped"])
    write_checkpoint(run_dir.checkpoints, 4)
    ask_to_stop(run_dir, StopAsked(reason="no space"))
    oversight.ended(replace(RESULT, state="stopped"))
    assert f": stopped: no space; `tunekit resume {run_dir.path}`" in told(kept)[0]["text"]


def test_what_does_not_arrive_is_a_warning_of_the_run(make):
    oversight, run_dir = make(notify_command=["/no/such/program"])
    oversight.ended(RESULT)
    (event,) = [json.loads(line) for line in run_dir.events.read_text().splitlines()]
    assert event["event"] == "warning"
    assert event["text"] == "the notice `done` did not reach /no/such/program: No such file or directory"


def test_a_faulty_address_is_refused_before_anything_is_started(make):
    with pytest.raises(UsageError, match="HOOK holds no address"):
        make(notify_url="$HOOK")


def test_the_users_own_program_is_told_of_every_run(make, kept, tmp_path):
    path = tmp_path / "tunekit" / "notify.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps({"command": [sys.executable, "-c", KEEP, str(kept)]}))
    oversight, _ = make(notify_command=[])
    oversight.ended(RESULT)
    assert [notice["event"] for notice in told(kept)] == ["done"]


def test_a_watched_run_keeps_what_is_seen(make):
    oversight, run_dir = make(every_seconds=1)
    watched = oversight.over(RecordedProcess(Script(polls=3), run_dir), ())
    began, looks = time.monotonic(), count(1)
    watched._watcher._clock = lambda: began + 10 * next(looks)
    write_lines(run_dir.metrics, steps(3.0))
    while watched.poll() is None:
        pass
    samples = [json.loads(line) for line in run_dir.metrics.read_text().splitlines()]
    assert any(record.get("kind") == "sample" and record["host"]["total_bytes"] > GIB for record in samples)


def test_drives_and_cards():
    plan = make_plan(zero={"nvme_path": "/mnt/nvme"})
    assert drives_of(plan, RunDir(Path("/r"))) == {"output": Path("/r"), "nvme": Path("/mnt/nvme")}
    assert drives_of(make_plan(), RunDir(Path("/r"))) == {"output": Path("/r")}
    assert cards_of(make_plan(), ()) == ()
    assert cards_of(make_plan(DUAL_4090), ()) == (0, 1)
    assert cards_of(make_plan(DUAL_4090), (2, 3)) == (2, 3)


def test_endings_in_a_sentence(tmp_path):
    plan = make_plan()
    run_dir = write_run(tmp_path / "run", plan)
    assert ending(replace(RESULT, success={}), "", run_dir).startswith("done: None steps")
    assert ending(replace(RESULT, state="stopped"), "", run_dir) == (
        "stopped; it has no complete checkpoint: launch anew"
    )
    write_checkpoint(run_dir.checkpoints, 4)
    assert ending(replace(RESULT, state="stopped"), "", run_dir).startswith("stopped; `tunekit resume")
    failed = replace(RESULT, state="failed", reading="killed", phase="train")
    assert ending(failed, "", run_dir) == (
        f"failed in phase train: killed; `tunekit status {run_dir.path}` says more; "
        f"`tunekit resume {run_dir.path}` goes on with it"
    )
    said = replace(failed, cause=("RuntimeError: x",), said="the card ran out of memory")
    assert "failed in phase train: RuntimeError: x (the card ran out of memory); " in ending(said, "", run_dir)


def test_whether_somebody_would_be_told_is_known_without_sending(tmp_path):
    def seen(**watch):
        plan = make_plan(recipe=make_recipe(watch=watch))
        return can_be_told(plan, {"XDG_CONFIG_HOME": str(tmp_path), "PATH": os.environ["PATH"]})

    assert seen(notify_command=[sys.executable, "-c", ""]) == seen() == Told()
    assert seen(notify_command=["no-such-program", "--x"]) == Told(missing=("no-such-program",))
    assert "NO_SUCH holds no address" in seen(notify_url="$NO_SUCH").fault
