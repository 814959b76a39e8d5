from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.plans import DUAL_4090, make_plan, make_recipe
from tests.runs import steps, write_checkpoint, write_json, write_lines, write_run
from tunekit.launcher.checkpoints import Checkpoint
from tunekit.launcher.outcome import RunResult
from tunekit.render.summary import (
    closing_lines,
    headline,
    measured_peaks,
    print_summary,
    resuming_text,
    short_path,
    stopped_text,
    thinned,
)
from tunekit.units import GIB

SUCCESS = {
    "steps": 3,
    "seconds": 125.0,
    "tokens_per_second": 1234.4,
    "eval_loss": 1.25,
    "final": {"path": "x", "bytes": 5 * 2**20},
    "samples": [{"prompt": "What is ZeRO?", "before": "nothing", "after": "a way to share"}],
}
DONE = RunResult(state="done", attempt=1, exit_code=0, success=SUCCESS)


def phases(load, step, device=0):
    return {
        "phases": {
            "load": {"host_bytes": load * GIB, "device_reserved_bytes": 0},
            "step": {"host_bytes": step * GIB, "device_reserved_bytes": device * GIB},
        }
    }


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_run(tmp_path / "runs" / "a", make_plan())


def test_the_headline_has_steps_time_loss_and_speed():
    assert headline(DONE, steps(3.0, 2.0, 1.0)) == (
        "Done: 3 steps; 2 min 05 s from start to end, loss 3.0000 → 1.0000 █▅▁, eval loss 1.2500, 1,234 tokens/s."
    )


def test_the_headline_of_a_resumed_run_says_which_steps_took_the_time():
    resumed = RunResult(state="done", attempt=2, exit_code=0, success={"steps": 12, "steps_before": 4, "seconds": 69.0})
    assert headline(resumed, []) == "Done: 12 steps, the last 8 of them; 1 min 09 s from start to end."


def test_peaks_are_the_worst_card_and_the_sum_of_the_ranks():
    measured = {"ranks": [phases(1, 2, device=20), phases(4, 2, device=21)]}
    gpu, host = measured_peaks(make_plan(DUAL_4090, device_bytes=22 * GIB), measured)
    assert (gpu.place, gpu.bytes, gpu.phase) == ("GPU", 21 * GIB, "step")
    assert (host.place, host.bytes, host.phase) == ("host", 5 * GIB, "load")
    assert host.estimate.expected_bytes == 4 * GIB


def test_a_cpu_run_has_no_row_for_cards():
    assert [peak.place for peak in measured_peaks(make_plan(), {"ranks": [phases(1, 2)]})] == ["host"]
    assert measured_peaks(make_plan(), {}) == ()


def test_the_summary_shows_all(run_dir):
    output = io.StringIO()
    result = RunResult(
        state="done", attempt=1, exit_code=0, success=SUCCESS, measured={"ranks": [phases(1, 3), phases(1, 3)]}
    )
    print_summary(Console(file=output, width=120), make_plan(), result, run_dir, steps(3.0, 1.0))
    text = output.getvalue()
    for part in (
        "loss 3.0000 → 1.0000",
        "6.0 GiB (150%)",
        "What is ZeRO?",
        "nothing",
        "a way to share",
        "Result: runs/a/final (adapter, 5 MiB); its README.md shows how to load it",
        "tunekit status runs/a",
        "tensorboard --logdir runs/a/tensorboard",
    ):
        assert part in text


def test_a_resumed_run_shows_the_answer_of_its_first_attempt(run_dir):
    write_lines(
        run_dir.events, [{"event": "sample", "when": "before", "prompt": "What is ZeRO?", "answer": "a number"}]
    )
    output = io.StringIO()
    samples = [{**SUCCESS["samples"][0], "before": ""}]
    result = RunResult(state="done", attempt=2, exit_code=0, success={**SUCCESS, "samples": samples})
    print_summary(Console(file=output, width=120), make_plan(), result, run_dir, [])
    assert "a number" in output.getvalue()


def test_without_tensorboard_it_is_not_named(run_dir):
    plan = make_plan(recipe=make_recipe(tracking=[]))
    assert not any("tensorboard" in line for line in closing_lines(plan, DONE, run_dir))


def test_a_stopped_run_says_how_to_go_on(run_dir):
    assert "tunekit resume runs/a" in stopped_text(run_dir, resumable_step=20)
    assert "output.save_steps" in stopped_text(run_dir, resumable_step=None)


def test_a_checkpoint_that_is_not_trusted_is_named_at_the_end(run_dir):
    write_json(write_checkpoint(run_dir.checkpoints, 20) / "doubtful.json", {"reason": "the loss is nan"})
    text = stopped_text(run_dir, resumable_step=None)
    assert (
        text
        == "Stopped; runs/a holds no complete checkpoint: launch anew.\ncheckpoint-20 cannot be used: the loss is nan."
    )


def test_resuming_says_from_where_and_how_far(run_dir):
    path = write_checkpoint(run_dir.checkpoints, 20)
    checkpoint = Checkpoint(path=path, step=20, fault=None, world_size=2)
    assert resuming_text(run_dir, checkpoint) == "a: going on from checkpoint-20."
    write_json(path / "trainer_state.json", {"global_step": 20, "max_steps": 60})
    assert resuming_text(run_dir, checkpoint) == "a: going on from checkpoint-20: step 20 of 60 is done, 40 to go."


def test_resuming_says_which_newer_checkpoints_are_broken_and_what_is_different(run_dir):
    checkpoint = Checkpoint(path=run_dir.checkpoints / "checkpoint-20", step=20, fault=None)
    broken = Checkpoint(path=run_dir.checkpoints / "checkpoint-30", step=30, fault="rng_state_1.pth is missing")
    assert resuming_text(run_dir, checkpoint, (broken,), "saved by 2 processes.").splitlines() == [
        "checkpoint-30 cannot be used: rng_state_1.pth is missing.",
        "a: going on from checkpoint-20.",
        "checkpoint-20 was saved by 2 processes.",
    ]


def test_long_curves_keep_their_ends():
    values = tuple(float(value) for value in range(100))
    assert thinned(values, 5) == (0.0, 25.0, 50.0, 74.0, 99.0)
    assert thinned(values[:3], 5) == values[:3]


def test_paths_are_short_where_they_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "runs" / "a") == "runs/a"
    assert short_path(Path("/elsewhere")) == "/elsewhere"
