from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from tests.plans import make_plan
from tests.runs import steps, write_checkpoint, write_json, write_lines, write_run
from tunekit.diagnosis.diagnose import Diagnosis
from tunekit.launcher.outcome import RunResult
from tunekit.planner.mending import Mend
from tunekit.render.diagnosis_text import (
    ending_text,
    explain_logs,
    explain_result,
    explanation_json,
    explanation_text,
    print_explanation,
)
from tunekit.units import GIB

MEND = Mend(
    set="train.micro_batch_size=1",
    verdict="fits",
    place="host",
    planned_bytes=2 * GIB,
    failed_bytes=5 * GIB,
    measured_bytes=0,
    usable_bytes=4 * GIB,
    tokens_per_second=None,
)
OTHER = Mend(
    set="method.kind=qlora",
    verdict="tight",
    place="host",
    planned_bytes=GIB,
    failed_bytes=5 * GIB,
    measured_bytes=2 * GIB,
    usable_bytes=4 * GIB,
    tokens_per_second=12.0,
)
KILLED = RunResult(
    state="failed",
    attempt=1,
    exit_code=247,
    signal=9,
    failing_rank=1,
    phase="model",
    reading="exit code 247 = signal 9 (SIGKILL): most often the host's out-of-memory killer",
    cause=("  File x", "MemoryError"),
    signature="killed",
    advice="close other programs",
)
FULL = RunResult(
    state="failed",
    attempt=1,
    exit_code=1,
    failing_rank=1,
    phase="train",
    reading="exit code 1: a Python error",
    cause=("torch.OutOfMemoryError: CUDA out of memory",),
    signature="GPU out of memory",
    said="the card ran out of memory",
    fault="GPU memory",
    advice="the card ran out of memory: try …",
    mends=(MEND, OTHER),
)


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_run(tmp_path / "runs" / "a", make_plan())


def lines(result, run_dir, *, step=None):
    return explanation_text(explain_result(result, run_dir, make_plan(), resumable_step=step)).splitlines()


def test_a_failure_tells_where_why_and_what_next(run_dir):
    for path in (run_dir.rank_log(1), run_dir.launcher_log):
        path.touch()
    assert lines(KILLED, run_dir, step=20) == [
        "The run failed on rank 1 while loading the model.",
        "    File x",
        "  MemoryError",
        "exit code 247 = signal 9 (SIGKILL): most often the host's out-of-memory killer.",
        "Try:    close other programs",
        "Logs:   runs/a/logs/rank_1.log",
        "Logs:   runs/a/logs/launcher.log",
        "Go on:  tunekit resume runs/a (from step 20)",
    ]


def test_a_failure_that_nobody_knows_more_about(run_dir):
    result = RunResult(state="failed", attempt=1, exit_code=None)
    assert lines(result, run_dir) == ["The run failed.", "Logs:   runs/a/logs"]


def test_a_preparation_that_failed_is_explained_too(run_dir):
    cause = ("The preparation failed:", "x.h:12:10: fatal error: Python.h: No such file or directory")
    told = lines(RunResult(state="failed", attempt=1, exit_code=None, phase="preparing", cause=cause), run_dir)
    assert told[3] == "Cause:  the compiler did not find Python.h, so an op could not be built"
    assert told[4].startswith("Try:    the package that has Python.h")


def test_the_colours_of_a_launchers_last_words_are_not_printed(run_dir):
    cause = ("\x1b[31m[launch.py] \x1b[1mno such file\x1b[0m",)
    assert (
        lines(RunResult(state="failed", attempt=1, exit_code=2, cause=cause), run_dir)[1]
        == "  [launch.py] no such file"
    )


def test_what_memory_was_seen_and_planned_and_what_mends_it(run_dir):
    write_lines(run_dir.metrics, steps(3.0, host_bytes=6 * GIB))
    traceback = 'Traceback\n  File "x/loss_utils.py", line 3, in ForCausalLMLoss\nOutOfMemoryError: no'
    lament = {"rank": 0, "type": "DistBackendError", "message": "NCCL\nConnection reset by peer"}
    write_json(run_dir.failure, {"rank": 1, "traceback": traceback, "consequence": lament})
    assert lines(FULL, run_dir, step=4) == [
        "The run failed on rank 1 while training, in the loss.",
        "  torch.OutOfMemoryError: CUDA out of memory",
        "exit code 1: a Python error.",
        "Cause:  the card ran out of memory",
        "Memory: host RAM 6.0 GiB seen, 4.0 GiB planned (at most 4.4 GiB), 20.0 GiB usable",
        "Also:   rank 0: DistBackendError: Connection reset by peer (only a consequence)",
        "Try:    train.micro_batch_size=1 (host RAM 2.0 GiB planned instead of 5.0 GiB, of 4.0 GiB usable)",
        "Or:     method.kind=qlora (host RAM 1.0 GiB (2.0 GiB by what was measured) planned instead of 5.0 GiB, "
        "of 4.0 GiB usable; 12 tokens/s)",
        "Logs:   runs/a/logs",
        "Go on:  tunekit resume runs/a train.micro_batch_size=1 (from step 4)",
    ]


def test_without_a_checkpoint_or_where_it_is_another_training_it_starts_anew(run_dir):
    assert lines(FULL, run_dir)[-1] == (
        "Go on:  tunekit launch runs/a/recipe.resolved.yaml output.dir=runs/a-2 train.micro_batch_size=1"
    ) or lines(FULL, run_dir)[-1].endswith("output.dir=runs/a-2 train.micro_batch_size=1")
    other = RunResult(**{**{name: getattr(FULL, name) for name in FULL.__dataclass_fields__}, "mends": (OTHER,)})
    *_, anew, on = lines(other, run_dir, step=4)
    assert anew.endswith("output.dir=runs/a-2 method.kind=qlora")
    assert on == "Or:     tunekit resume runs/a (from step 4)"


def test_those_who_show_their_own_commands_get_none(run_dir):
    text = ending_text(explain_result(FULL, run_dir, make_plan(), resumable_step=4))
    assert "Go on" not in text
    assert "Logs" not in text
    assert "Try:" in text


def test_logs_of_another_launcher():
    found = Diagnosis(
        failed=True,
        known=True,
        name="GPU out of memory",
        rank=1,
        phase="train",
        moment="in the loss",
        cause="the card ran out of memory",
        lines=("OutOfMemoryError",),
        cure="a chunked loss",
        source="TRL#5575",
        fault="GPU memory",
        others=("rank 0: lost (only a consequence)",),
    )
    told = explain_logs(found, ["a.log", "b.log"])
    assert explanation_text(told).splitlines() == [
        "The run failed on rank 1 while training, in the loss.",
        "  OutOfMemoryError",
        "Cause:  the card ran out of memory",
        "Also:   rank 0: lost (only a consequence)",
        "Try:    a chunked loss",
        "Check:  `tunekit plan RECIPE` counts such a job's memory before it starts, and tries changes: key=value",
    ]
    record = json.loads(json.dumps(explanation_json(told)))
    assert (record["signature"], record["rank"], record["known"]) == ("GPU out of memory", 1, True)


def test_a_healthy_log_is_called_so():
    output = io.StringIO()
    told = explain_logs(Diagnosis(failed=False, phase="train", others=("a word",)), ["a.log"])
    print_explanation(Console(file=output, width=40), told)
    assert output.getvalue().splitlines() == [
        "Nothing in a.log says that the job failed; the last that it tells of is training.",
        "Also:   a word",
    ]


def test_a_checkpoint_is_named_by_its_step(run_dir):
    write_checkpoint(run_dir.checkpoints, 20)
    assert "(from step 20)" in lines(KILLED, run_dir, step=20)[-1]
