from __future__ import annotations

import pytest

from tests.plans import make_plan, make_recipe
from tests.runs import steps, write_checkpoint, write_lines, write_run
from tunekit.backends import patience as module
from tunekit.backends.patience import STALL_SECONDS, being_saved, micro_batch_seconds, wait_for_end


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", make_plan(recipe=make_recipe(train={"logging_steps": 2})))


class Clock:
    """Time that passes only in sleep; `then` is called at every sleep."""

    def __init__(self, then=lambda now: None):
        self.now = 0.0
        self.then = then

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.then(self.now)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_ranks_that_do_not_end_are_waited_for_so_long(run_dir, clock):
    assert not wait_for_end(run_dir, lambda: False, grace=7.0)
    assert clock.now == pytest.approx(7.0, abs=0.3)


def test_ranks_that_end_are_not_waited_for(run_dir, clock):
    assert wait_for_end(run_dir, lambda: clock.now > 2.0, grace=7.0)
    assert clock.now == pytest.approx(2.0, abs=0.3)


def test_a_long_micro_batch_is_waited_for(run_dir, clock):
    batch = make_plan().job.batch
    write_lines(run_dir.metrics, [{"step": 2, "loss": 1.0, "seconds": 10.0 * 2 * batch.gradient_accumulation_steps}])
    assert micro_batch_seconds(run_dir) == 10.0
    assert not wait_for_end(run_dir, lambda: False, grace=7.0)
    assert clock.now == pytest.approx(30.0, abs=0.3)


def test_nothing_is_known_of_micro_batches_before_the_first(run_dir, tmp_path):
    assert micro_batch_seconds(run_dir) == 0.0
    write_lines(run_dir.metrics, steps(1.0))
    run_dir.plan.unlink()
    assert micro_batch_seconds(run_dir) == 0.0


def test_a_save_is_waited_for_as_long_as_it_gets_on(run_dir, clock):
    folder = run_dir.checkpoints / "checkpoint-5"
    folder.mkdir(parents=True)

    def write(now):
        if now < 300:
            (folder / "optimizer").write_bytes(b"x" * int(now))

    clock.then = write
    assert not wait_for_end(run_dir, lambda: False, grace=7.0)
    assert clock.now == pytest.approx(299 + STALL_SECONDS, abs=2.0)


def test_a_torn_checkpoint_of_an_earlier_attempt_is_not_waited_for(run_dir, clock):
    (write_checkpoint(run_dir.checkpoints, 5) / "complete.json").unlink()
    assert not wait_for_end(run_dir, lambda: False, grace=7.0)
    assert clock.now == pytest.approx(7.0, abs=0.3)


def test_sealed_checkpoints_are_not_being_saved(run_dir):
    write_checkpoint(run_dir.checkpoints, 5)
    assert being_saved(run_dir) == 0
    (run_dir.checkpoints / "checkpoint-5" / "complete.json").unlink()
    assert being_saved(run_dir) > 0
