from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.plans import make_plan
from tests.runs import TRACEBACK, steps, write_json, write_lines, write_run
from tunekit.diagnosis.cause import ENDED_AS_ASKED
from tunekit.launcher.outcome import Observed, read_result, recorded_result, success_marker, write_result
from tunekit.units import GIB
from tunekit.watch import rules

FAILURE = {"rank": 1, "phase": "model", "type": "ValueError", "message": "no", "traceback": TRACEBACK, "time": 0.0}


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", make_plan())


def judge(run_dir, exit_code=0, *, attempt=1, **seen):
    observed = Observed(exit_code=exit_code, **seen)
    return read_result(run_dir, make_plan(), attempt=attempt, observed=observed)


def test_the_marker_is_success_whatever_the_exit_code(run_dir):
    write_json(run_dir.success, {"steps": 3, "attempt": 1})
    write_json(run_dir.measured, {"ranks": []})
    for code in (0, 1, None):
        result = judge(run_dir, code)
        assert result.ok
        assert (result.success["steps"], result.measured) == (3, {"ranks": []})


def test_exit_0_without_the_marker_is_a_failure(run_dir):
    result = judge(run_dir, 0)
    assert result.state == "failed"
    assert "marker is missing" in result.reading


def test_the_marker_of_another_attempt_proves_nothing(run_dir):
    write_json(run_dir.success, {"attempt": 1})
    assert success_marker(run_dir, 2) is None
    assert judge(run_dir, 0, attempt=2).state == "failed"
    write_json(run_dir.success, {"steps": 3})
    assert success_marker(run_dir, 2) is not None


def test_a_marker_that_is_cut_off_proves_nothing(run_dir):
    run_dir.success.write_text('{"attempt": 1, "st')
    assert judge(run_dir, 0).state == "failed"


def test_the_failure_record_is_the_cause(run_dir):
    write_json(run_dir.failure, FAILURE)
    run_dir.rank_log(0).write_text(TRACEBACK.replace("ValueError", "ConnectionError"))
    result = judge(run_dir, 1, failing_rank=0)
    assert (result.failing_rank, result.phase) == (1, "model")
    assert result.cause[-1] == "ValueError: the loss is not a number"


def test_without_a_record_the_logs_speak(run_dir):
    run_dir.rank_log(1).write_text(f"loading\n{TRACEBACK}")
    result = judge(run_dir, 1)
    assert result.failing_rank == 1
    assert result.cause[-1].startswith("ValueError")


def test_a_killed_rank_is_named_by_what_was_seen(run_dir):
    write_lines(run_dir.events, [{"event": "phase", "phase": "data"}, {"event": "phase", "phase": "train"}])
    result = judge(run_dir, 247, failing_rank=1, failing_code=-9, oom_kills=1)
    assert (result.signal, result.failing_rank, result.phase) == (9, 1, "train")
    assert "signal 9 (SIGKILL)" in result.reading
    assert "1 out-of-memory kill" in result.reading
    assert "host ran out of memory" in result.advice


def test_a_rank_that_is_gone_without_a_word_was_killed_whatever_its_peer_says(run_dir):
    lost = {**FAILURE, "rank": 0, "traceback": "Traceback:\nRuntimeError: Connection closed by peer\n"}
    write_json(run_dir.failure, lost)
    run_dir.rank_log(1).write_text("step 3\n")
    result = judge(run_dir, 1)
    assert result.failing_rank == 1
    assert result.reading.startswith("rank 1 was gone without a word, as after signal 9 (SIGKILL): ended from outside")
    assert result.signal == 9
    assert result.said.endswith("nothing says why")


def test_a_signal_that_was_seen_is_told_and_the_record_corrected(run_dir):
    """Rank 1 was killed; rank 0 only lost its peer, but was the one that could still write."""
    lost = {**FAILURE, "rank": 0, "phase": "train", "traceback": "Traceback:\nSomeError: words nobody knows\n"}
    write_json(run_dir.failure, lost)
    result = judge(run_dir, 1, failing_rank=1, failing_code=-9, oom_kills=0)
    assert (result.failing_rank, result.signal, result.cause) == (1, 9, ())
    assert result.reading.startswith("rank 1 was ended by signal 9 (SIGKILL)")
    assert "the kernel counted no out-of-memory kill" in result.said
    write_result(run_dir, result)
    record = json.loads(run_dir.failure.read_text())
    assert (record["attempt"], record["rank"], record["signal"], record["phase"]) == (1, 1, 9, "train")
    assert (record["type"], record["message"]) == ("Killed", result.reading)
    assert record["consequence"] == lost
    again = judge(run_dir, None)
    assert (again.failing_rank, again.signal) == (1, 9), "who reads the files later is told the same"


def test_a_rank_whose_words_are_only_in_its_log_gets_the_record(run_dir):
    run_dir.rank_log(1).write_text(f"loading\n{TRACEBACK}")
    write_result(run_dir, judge(run_dir, 1))
    record = json.loads(run_dir.failure.read_text())
    assert (record["rank"], record["type"], record["message"]) == (1, "Error", "ValueError: the loss is not a number")


def test_the_record_of_the_rank_that_failed_first_is_left_as_it_is(run_dir):
    write_json(run_dir.failure, FAILURE)
    write_result(run_dir, judge(run_dir, 1))
    assert json.loads(run_dir.failure.read_text()) == FAILURE


def test_the_most_host_memory_that_was_seen_is_evidence(run_dir):
    write_lines(run_dir.metrics, [*steps(3.0, host_bytes=2 * GIB), *steps(2.0, first=2, host_bytes=GIB)])
    assert "seen at 2.0 GiB" in judge(run_dir, 247, failing_rank=1, oom_kills=0).said


def test_a_full_drive_is_named_and_nobody_is_called_killed(run_dir, monkeypatch):
    monkeypatch.setattr("tunekit.launcher.outcome.shutil.disk_usage", lambda path: SimpleNamespace(free=4096))
    result = judge(run_dir, 1, failing_rank=0, failing_code=1)
    assert result.signal is None
    assert result.reading.endswith(f"No space left on device: the drive of {run_dir.path} has 4 KiB free")
    assert "output.keep_checkpoints=1" in result.advice


def test_on_a_full_disk_nothing_half_written_stays(run_dir, monkeypatch):
    def full(path, text):
        path.touch()
        raise OSError(28, "No space left on device")

    result = judge(run_dir, 1, failing_rank=1, failing_code=-9)
    before = set(run_dir.path.iterdir())
    monkeypatch.setattr(Path, "write_text", full)
    write_result(run_dir, result)
    assert set(run_dir.path.iterdir()) == before


def test_where_nothing_can_be_written_the_result_is_still_told(run_dir):
    result = judge(run_dir, 1)
    shutil.rmtree(run_dir.path)
    write_result(run_dir, result)
    assert not run_dir.path.exists()


def test_a_launcher_that_never_got_to_a_rank(run_dir):
    run_dir.launcher_log.write_text("[INFO] starting\nRuntimeError: Unable to proceed, no GPU resources available\n")
    result = judge(run_dir, 1)
    assert result.cause == ("RuntimeError: Unable to proceed, no GPU resources available",)


def test_a_stop_is_no_failure(run_dir):
    run_dir.stop_request.touch()
    result = judge(run_dir, -9)
    assert (result.state, result.exit_code) == ("stopped", 130)


def test_ranks_that_ended_together_on_a_signal_have_not_failed(run_dir):
    assert judge(run_dir, 1, failing_rank=1, failing_code=130).state == "stopped"
    run_dir.failure.write_text("{}")
    assert judge(run_dir, 1, failing_rank=1, failing_code=130).state == "failed"


def test_a_rank_that_lost_a_peer_which_was_asked_to_end_has_not_failed(run_dir):
    lost = {**FAILURE, "rank": 0, "message": "[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:2"}
    write_json(run_dir.failure, lost)
    assert judge(run_dir, 1, failing_rank=1, failing_code=130).state == "stopped"
    assert judge(run_dir, 130).state == "stopped", "both were gone at one look; the launcher tells the first one's code"
    assert judge(run_dir, 1, failing_rank=0, failing_code=130).state == "failed"
    assert judge(run_dir, 1, failing_rank=1, failing_code=1).state == "failed"
    write_json(run_dir.failure, {**lost, "message": "out of memory"})
    assert judge(run_dir, 1, failing_rank=1, failing_code=130).state == "failed"


def test_a_rank_that_lost_a_peer_which_said_that_it_was_asked_has_not_failed(run_dir):
    """Its peer's exit code was seen by nobody: the launcher tells only that of who lost it."""
    lost = {**FAILURE, "rank": 1, "traceback": "Traceback:\nRuntimeError: Connection closed by peer\n"}
    write_json(run_dir.failure, lost)
    run_dir.rank_log(0).write_text(f"step 8/8\n[   18.5 s] stopped\n{ENDED_AS_ASKED}\n")
    assert judge(run_dir, 1).state == "stopped"
    assert judge(run_dir, 1, failing_rank=1, failing_code=1).state == "failed", "it failed before the other was asked"


def test_who_was_killed_is_named_where_the_other_was_asked_to_end_because_of_it(run_dir):
    write_lines(run_dir.events, [{"event": "phase", "phase": name} for name in ("data", "model", "stopped")])
    run_dir.rank_log(0).write_text(f"{ENDED_AS_ASKED}\n")
    run_dir.rank_log(1).write_text("loading\n")
    result = judge(run_dir, 247)
    assert (result.state, result.failing_rank, result.signal, result.phase) == ("failed", 1, 9, "model")
    assert result.reading.startswith("rank 1 was gone without a word (exit code 247 = signal 9 (SIGKILL)")


def test_ranks_that_stumble_after_a_stop_have_not_failed(run_dir):
    for path, moment in ((run_dir.stop_request, 100), (run_dir.failure, 200)):
        write_json(path, FAILURE)
        os.utime(path, (moment, moment))
    assert judge(run_dir, 1).state == "stopped"
    os.utime(run_dir.failure, (50, 50))
    assert judge(run_dir, 1).state == "failed"


def test_nobody_saw_the_end(run_dir):
    reading = judge(run_dir, None).reading
    assert "nobody was watching" in reading
    assert "of its peer" not in reading


def test_the_result_is_kept(run_dir):
    write_json(run_dir.failure, FAILURE)
    write_result(run_dir, judge(run_dir, 1))
    kept = json.loads(run_dir.result.read_text())
    assert (kept["state"], kept["failing_rank"], kept["exit_code"]) == ("failed", 1, 1)


def test_a_stop_for_want_of_host_memory_is_known_as_that(run_dir):
    write_json(run_dir.stop_request, {"reason": "0.4 GiB of host RAM are left", "todo": "close other programs"})
    write_lines(run_dir.metrics, steps(3.0, host_bytes=2 * GIB))
    person = judge(run_dir, 130)
    assert (person.state, person.fault, person.said) == ("stopped", None, "0.4 GiB of host RAM are left")
    write_lines(run_dir.events, [{"event": "watch", "rule": rules.RAM, "stops": True, "change": "began"}])
    watcher = judge(run_dir, 130)
    assert (watcher.fault, watcher.seen_bytes, watcher.advice) == ("host memory", 2 * GIB, "close other programs")


def test_a_recorded_result_is_read_as_it_was_written(run_dir):
    write_json(run_dir.failure, {**FAILURE, "traceback": "OutOfMemoryError: no", "measured": {"device_bytes": GIB}})
    result = judge(run_dir, 1)
    assert (result.signature, result.fault, result.seen_bytes) == ("GPU out of memory", "GPU memory", GIB)
    write_result(run_dir, result)
    kept = recorded_result(run_dir)
    assert (kept.signature, kept.fault, kept.said, kept.mends) == (
        result.signature,
        result.fault,
        result.said,
        result.mends,
    )
    write_json(run_dir.result, {"state": "failed", "mends": [{"set": "a=1"}]})
    assert recorded_result(run_dir) is None, "another program's"
    run_dir.result.unlink()
    assert recorded_result(run_dir) is None
