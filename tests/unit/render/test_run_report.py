from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.plans import DUAL_4090, make_plan
from tests.runs import TRACEBACK, steps, write_checkpoint, write_json, write_lines, write_run
from tunekit.launcher.checkpoints import list_checkpoints
from tunekit.launcher.outcome import Observed, read_result, write_result
from tunekit.launcher.state import read_status
from tunekit.render.run_report import build_report, print_report, report_json
from tunekit.units import GIB

SAMPLE = {"prompt": "What is ZeRO?", "before": "nothing", "after": "a way to share"}


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run that has logged three steps and kept one checkpoint."""
    monkeypatch.chdir(tmp_path)
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_lines(run_dir.metrics, steps(3.0, 2.5, 2.0, host_bytes=2 * GIB))
    write_lines(run_dir.events, [{"event": "phase", "phase": "train"}])
    write_checkpoint(run_dir.checkpoints, 2)
    return run_dir


def report_of(run_dir, *, alive=False, plan=None):
    plan = plan or make_plan()
    return build_report(run_dir, plan, read_status(run_dir, alive=alive), list_checkpoints(run_dir.checkpoints))


def text_of(report, width=120):
    output = io.StringIO()
    print_report(Console(file=output, width=width), report)
    return output.getvalue()


def finish(run_dir):
    phases = {"load": {"host_bytes": GIB}, "step": {"host_bytes": 3 * GIB // 2}}
    write_json(run_dir.measured, {"ranks": [{"rank": rank, "phases": phases} for rank in range(2)]})
    success = {"attempt": 1, "tokens_per_second": 1234.4, "final": {"bytes": 5 * 2**20}, "samples": [SAMPLE]}
    write_json(run_dir.success, success)


def test_a_run_that_goes_on_shows_what_was_seen_so_far_against_the_plan(run_dir):
    report = report_of(run_dir, alive=True)
    text = text_of(report)
    assert text.startswith("a: running\n")
    for part in ("3/10", "2.0000", "100 tokens/s, 1.0 s per step", "phase      training", "2.0 GiB (50%)", "4.0 GiB"):
        assert part in text
    assert report.next == ("tunekit logs -f runs/a", "tunekit stop runs/a")
    assert report.ending is None


def test_a_run_that_is_done_shows_its_peaks_its_answers_and_its_result(run_dir):
    finish(run_dir)
    report = report_of(run_dir)
    text = text_of(report)
    for part in ("a: done", "3.0 GiB (75%)", "1,234 tokens/s", "nothing", "a way to share"):
        assert part in text
    assert (
        "Result: runs/a/final (adapter, 5 MiB); its README.md shows how to load it\nNext:   tensorboard --log" in text
    )


def test_cards_are_shown_where_there_are_some(run_dir):
    write_lines(run_dir.metrics, steps(1.0, first=4, gpu_bytes=20 * GIB, host_bytes=GIB))
    report = report_of(run_dir, plan=make_plan(DUAL_4090, device_bytes=22 * GIB))
    assert [(peak.place, peak.bytes) for peak in report.peaks] == [("GPU", 20 * GIB), ("host", 2 * GIB)]


def test_a_failure_shows_what_the_screen_showed(run_dir):
    write_json(run_dir.failure, {"rank": 0, "phase": "train", "traceback": "Traceback:\nConnection reset by peer\n"})
    seen = Observed(exit_code=1, failing_rank=1, failing_code=-9, oom_kills=0)
    write_result(run_dir, read_result(run_dir, make_plan(), attempt=1, observed=seen))
    report = report_of(run_dir)
    text = text_of(report)
    assert "The run failed on rank 1 while training.\nrank 1 was ended by signal 9 (SIGKILL)" in text
    assert "came from outside; the kernel counted no out-of-memory kill" in text
    assert text.endswith("Next:   tunekit resume runs/a\n")
    told = report_json(report)["ending"]
    assert (told["failing_rank"], told["signal"], told["exit_code"]) == (1, 9, 1)


def test_a_failure_that_nobody_watched_is_told_from_its_files(run_dir):
    write_json(run_dir.failure, {"rank": 1, "phase": "train", "traceback": TRACEBACK})
    text = text_of(report_of(run_dir))
    assert "The run failed on rank 1 while training." in text
    assert "ValueError: the loss is not a number" in text


def test_a_run_whose_processes_are_gone_without_a_word(run_dir):
    text = text_of(report_of(run_dir))
    assert text.startswith("a: lost\n")
    assert "a power cut, or `kill -9` of all of them.\nNext:   tunekit resume runs/a\n" in text


def test_a_run_that_could_write_its_end_into_the_log_alone(run_dir):
    run_dir.rank_log(0).write_text(
        TRACEBACK.replace("ValueError: the loss is not a number", "OSError: [Errno 28] No space")
    )
    text = text_of(report_of(run_dir))
    assert "The run failed on rank 0 while training." in text
    assert "power cut" not in text


def test_without_a_checkpoint_the_next_step_is_to_start_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = write_run(tmp_path / "runs" / "b", make_plan())
    run_dir.stop_request.touch()
    (command,) = report_of(run_dir).next
    assert command.startswith("tunekit launch ")
    assert command.endswith(" output.dir=runs/b-2")


def test_json_holds_the_same(run_dir):
    finish(run_dir)
    tree = report_json(report_of(run_dir))
    assert (tree["state"], tree["step"], tree["tokens_per_second"], tree["seconds_per_step"]) == (
        "done",
        3,
        1234.4,
        1.0,
    )
    (memory,) = tree["memory"]
    assert (memory["place"], memory["phase"]) == ("host", "step")
    assert (memory["measured_bytes"], memory["expected_bytes"], memory["usable_bytes"]) == (3 * GIB, 4 * GIB, 20 * GIB)
    assert tree["samples"] == [SAMPLE]
    assert tree["checkpoints"] == [{"path": str(run_dir.checkpoints / "checkpoint-2"), "step": 2, "fault": None}]
    assert tree["next"] == ["tensorboard --logdir runs/a/tensorboard"]
    assert tree["ending"] is None


def test_a_narrow_terminal_gets_sentences(run_dir):
    text = text_of(report_of(run_dir, alive=True), width=40)
    assert "host: 2.0 GiB measured, 4.0 GiB planned,\n20.0 GiB usable\n" in text


def test_a_run_that_nobody_watches_says_so_and_what_to_type(run_dir):
    write_lines(run_dir.metrics, [{"kind": "sample", "time": 1000.0}])
    text = text_of(report_of(run_dir, alive=True))
    assert "nobody watches this run since " in text
    assert "`tunekit stop runs/a`" in text
    assert "changed    no step for " in text
    assert "nobody watches" not in text_of(report_of(run_dir))


def test_the_time_left_is_told_while_it_runs(run_dir):
    going = report_of(run_dir, alive=True)
    assert going.seconds_left == pytest.approx(7.0)
    assert "left       about 7 s of steps" in text_of(going)
    assert report_json(going)["seconds_left"] == pytest.approx(7.0)
    assert report_of(run_dir).seconds_left is None
