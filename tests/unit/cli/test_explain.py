from __future__ import annotations

import io
import json
import os

import pytest
import typer

from tests.failing_logs import deepspeed_log, sample_of
from tests.plans import make_plan
from tests.runs import TRACEBACK, steps, write_checkpoint, write_json, write_lines, write_run
from tunekit.cli import explain as module
from tunekit.cli.explain import explain
from tunekit.errors import UsageError
from tunekit.launcher.attempts import archive_attempt
from tunekit.launcher.outcome import Observed, read_result, write_result
from tunekit.render.summary import told_of
from tunekit.run import Run

OOM = deepspeed_log(sample_of("GPU out of memory").text)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def told(capsys, *names, json=False):
    """Exit code and output."""
    try:
        explain(names, json=json)
    except typer.Exit as ended:
        return ended.exit_code, capsys.readouterr().out
    return 0, capsys.readouterr().out


def test_a_log_of_another_launcher(tmp_path, capsys):
    (tmp_path / "train.log").write_text(OOM)
    code, text = told(capsys, "train.log")
    assert code == 0
    assert text.startswith("The run failed on rank 1 while training, in the loss.\n")
    assert "Cause:  the card ran out of memory" in text
    assert "Check:  `tunekit plan RECIPE`" in text


def test_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(OOM.encode() + b"\xff")))
    code, text = told(capsys, "-", json=True)
    record = json.loads(text)
    assert (code, record["source"], record["signature"], record["rank"]) == (
        0,
        "standard input",
        "GPU out of memory",
        1,
    )


def test_a_log_per_rank_and_a_folder_of_logs(tmp_path, capsys):
    for rank, text in enumerate((TRACEBACK, sample_of("GPU out of memory").text)):
        folder = tmp_path / "elastic" / "attempt_0" / str(rank)
        folder.mkdir(parents=True)
        (folder / "stderr.log").write_text(text)
        os.utime(folder / "stderr.log", (1000 - rank, 1000 - rank))
    logs = [f"elastic/attempt_0/{rank}/stderr.log" for rank in (0, 1)]
    assert told(capsys, *logs) == told(capsys, "elastic")
    assert "on rank 1" in told(capsys, "elastic")[1]


def test_a_cause_that_nobody_knows_exits_with_1(tmp_path, capsys):
    (tmp_path / "train.log").write_text(TRACEBACK)
    code, text = told(capsys, "train.log")
    assert code == 1
    assert "ValueError: the loss is not a number" in text


def test_a_healthy_log_exits_with_0(tmp_path, capsys):
    (tmp_path / "train.log").write_text("step 1\nProcess 3 exits successfully.\n")
    assert told(capsys, "train.log") == (0, "Nothing in train.log says that the job failed.\n")


@pytest.mark.parametrize("name", ["no/such.log", "empty"])
def test_what_is_not_there_is_a_wrong_use(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="tunekit runs"):
        explain([name], json=False)


def test_a_file_that_may_not_be_read_is_a_wrong_use(tmp_path, monkeypatch):
    (tmp_path / "train.log").write_text("x")

    def refuse(*args, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(UsageError, match="train.log: Permission denied"):
        explain(["train.log"], json=False)


def test_of_a_huge_log_beginning_and_end_are_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "_HEAD_BYTES", 1000)
    monkeypatch.setattr(module, "_TAIL_BYTES", 5000)
    (tmp_path / "train.log").write_text("step\n" * 10_000 + OOM)
    assert told(capsys, "train.log")[0] == 0
    (tmp_path / "train.log").write_text("step\n" * 10_000 + OOM + "step\n" * 10_000)
    assert "Nothing in train.log" in told(capsys, "train.log")[1]


def test_a_run_that_failed_is_explained_from_its_directory(tmp_path, capsys):
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_json(run_dir.failure, {"rank": 1, "phase": "save", "traceback": TRACEBACK.replace("ValueError", "Errno 28")})
    write_result(run_dir, read_result(run_dir, make_plan(), attempt=1, observed=Observed(exit_code=1)))
    code, text = told(capsys, "a")
    assert code == 0
    assert text.startswith("The run failed on rank 1 while saving the result.\n")
    assert "Cause:  the disk is full" in text
    assert "Try:    the disk is full: free space" in text


def test_a_run_that_has_not_failed_says_so(tmp_path, capsys):
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_json(run_dir.success, {"attempt": 1, "steps": 3})
    code, text = told(capsys, "a")
    assert code == 0
    assert text == "runs/a has not failed: done.\n"


def test_a_run_that_was_stopped_says_why(tmp_path, capsys):
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_json(run_dir.stop_request, {"reason": "0.4 GiB of host RAM are left", "todo": "close other programs"})
    code, text = told(capsys, "a")
    assert code == 0
    assert text == "runs/a was stopped: 0.4 GiB of host RAM are left.\nTry:    close other programs\n"
    write_checkpoint(run_dir.checkpoints, 20)
    assert told(capsys, "a")[1].endswith("\nGo on:  tunekit resume runs/a (from step 20)\n")


def test_an_earlier_attempt_leads_to_the_run_as_a_whole(tmp_path, capsys):
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_json(run_dir.failure, {"rank": 1, "phase": "save", "traceback": TRACEBACK.replace("ValueError", "Errno 28")})
    write_result(run_dir, read_result(run_dir, make_plan(), attempt=1, observed=Observed(exit_code=1)))
    archive_attempt(run_dir)
    write_json(run_dir.launch, {"attempt": 2, "cwd": str(tmp_path)})
    run_dir.stop_request.touch()
    write_checkpoint(run_dir.checkpoints, 20)
    code, text = told(capsys, "runs/a/attempt_1")
    assert code == 0
    assert "Cause:  the disk is full" in text
    assert "Also:   attempt 2" in text
    assert text.endswith("Go on:  tunekit resume runs/a (from step 20)\n")
    assert also(text) == story(run_dir)
    write_json(run_dir.success, {"attempt": 2, "steps": 3})
    assert told(capsys, "runs/a/attempt_1")[1].endswith("Go on:  tunekit status runs/a\n")
    with pytest.raises(UsageError, match="no earlier attempt 2"):
        Run("a").explain_attempt(2)


def also(text):
    """What is told beside."""
    return [line.removeprefix("Also:   ") for line in text.splitlines() if line.startswith("Also:")]


def story(run_dir):
    """What `tunekit status` says of the attempts."""
    return [str(chapter) for chapter in told_of(run_dir)]


def test_beside_an_attempt_that_was_stopped_stands_what_status_says_of_all(tmp_path, capsys):
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    for attempt in (1, 2):
        write_json(run_dir.launch, {"attempt": attempt, "cwd": str(tmp_path)})
        write_lines(run_dir.metrics, steps(2.0, 1.9, first=2 * attempt))
        run_dir.stop_request.touch()
        write_result(run_dir, read_result(run_dir, make_plan(), attempt=attempt, observed=Observed(exit_code=130)))
        archive_attempt(run_dir)
    write_json(run_dir.launch, {"attempt": 3, "cwd": str(tmp_path)})
    write_json(run_dir.success, {"attempt": 3, "steps": 10})
    code, text = told(capsys, "runs/a/attempt_2")
    assert (code, text.splitlines()[0]) == (0, "runs/a/attempt_2 has not failed: stopped.")
    assert also(text) == story(run_dir)
    assert also(text)[:2] == ["attempt 1: stopped at step 3 of 10", "attempt 2: stopped at step 5 of 10"]


def test_of_a_run_that_goes_on_its_last_attempt_does_too(tmp_path, capsys, monkeypatch):
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    run_dir.stop_request.touch()
    write_result(run_dir, read_result(run_dir, make_plan(), attempt=1, observed=Observed(exit_code=130)))
    archive_attempt(run_dir)
    write_json(run_dir.launch, {"attempt": 2, "cwd": str(tmp_path)})
    write_lines(run_dir.metrics, steps(2.0, 1.9))
    monkeypatch.setattr("tunekit.run.is_alive", lambda run_dir: True)
    assert also(told(capsys, "a")[1])[1] == "attempt 2: going on at step 2 of 10"


def test_a_run_is_explained_alone(tmp_path, capsys):
    for name in ("a", "b"):
        write_run(tmp_path / "runs" / name, make_plan())
    (tmp_path / "train.log").write_text(OOM)
    (tmp_path / "my rank.log").write_text(OOM)
    with pytest.raises(UsageError) as mixed:
        explain(["runs/a", "train.log", "my rank.log"], json=False)
    assert str(mixed.value) == (
        "runs/a is a run: it is explained from its own files, never together with loose logs. "
        "Type `tunekit explain runs/a` or `tunekit explain train.log 'my rank.log'`."
    )
    with pytest.raises(UsageError) as two:
        explain(["a", "runs/b"], json=False)
    assert str(two.value) == (
        "one run is explained at a time, and 2 are named: `tunekit explain a` or `tunekit explain runs/b`."
    )
    with pytest.raises(UsageError, match="a, runs/b are runs: each is explained from its own files, never together"):
        explain(["a", "runs/b", "train.log"], json=False)


def test_an_attempt_is_not_mixed_with_logs_either(tmp_path):
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    archive_attempt(run_dir)
    write_json(run_dir.launch, {"attempt": 2, "cwd": str(tmp_path)})
    (tmp_path / "train.log").write_text(OOM)
    with pytest.raises(UsageError, match="runs/a/attempt_1 is a run"):
        explain(["train.log", "runs/a/attempt_1"], json=False)


@pytest.mark.parametrize(("content", "what"), [(b"", "empty"), (b" \n", "empty"), (bytes(range(256)) * 12, "no text")])
def test_what_is_no_log_is_a_wrong_use(monkeypatch, content, what):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(UsageError, match=f"^standard input: {what}"):
        explain(["-"], json=False)


def test_of_several_logs_an_empty_one_is_passed_over(tmp_path, capsys):
    (tmp_path / "rank_0.log").write_text("")
    (tmp_path / "rank_1.log").write_text(OOM)
    assert "Cause:  the card ran out of memory" in told(capsys, "rank_0.log", "rank_1.log")[1]


def test_what_is_no_log_is_told_in_json_too(tmp_path, capsys):
    (tmp_path / "train.log").write_text("")
    with pytest.raises(UsageError):
        explain(["train.log"], json=True)
    assert json.loads(capsys.readouterr().out)["error"].startswith("train.log: empty")


def test_a_folder_of_several_runs_is_no_run(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / "runs" / name, make_plan())
    with pytest.raises(UsageError, match="runs is no run, and holds the logs of 2: name one of runs/a, runs/b"):
        explain(["runs"], json=False)


def test_colours_do_not_reach_the_terminal(tmp_path, capsys):
    (tmp_path / "train.log").write_text(OOM)
    as_it_is = told(capsys, "train.log")
    (tmp_path / "train.log").write_text("".join(f"\x1b[31m{line}\x1b[0m\n" for line in OOM.splitlines()))
    assert told(capsys, "train.log") == as_it_is
    assert "\x1b" not in as_it_is[1]
