"""Two real ranks under watch: one is stopped and named, RAM runs short and the run ends with a checkpoint and goes on,
and a poisoned row ends a run with its last good checkpoint. A web hook on this machine hears of it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tiny
from tests.waiting import until
from tunekit.backends.processes import members, ranks, read_process
from tunekit.launcher.checkpoints import newest_complete
from tunekit.launcher.json_lines import read_lines
from tunekit.launcher.run_dir import RunDir
from tunekit.notebook import launch
from tunekit.probes import sampling
from tunekit.probes.host import Swap
from tunekit.run import Run
from tunekit.units import MIB
from tunekit.watch.sample import sample_from

pytestmark = [pytest.mark.slow, pytest.mark.train]

POISON = "<|unk|>"
"""A token whose embedding is no number."""
ENDLESS, LAST = 1_000_000, 30
GOING = ("preparing", "running")
WATCH = {"every_seconds": 1, "silent_seconds": 3}


@dataclass(kw_only=True)
class Seen:
    """A run that was watched, as it was when it had ended, before it went on."""

    run: Run
    notices: list[dict[str, Any]]
    events: list[dict[str, Any]] = field(default_factory=list)
    samples: int = 0
    checkpoint: Path = Path()
    steps_before: list[float] = field(default_factory=list)


@pytest.fixture(scope="module")
def hook() -> Iterator[ThreadingHTTPServer]:
    """A web hook on this machine."""
    got: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got = got  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, data, and data with a poisoned row."""
    folder = tmp_path_factory.mktemp("watching")
    tiny.write_model(folder / "model")
    poison(folder / "model")
    rows = tiny.rows(64)
    tiny.write_data(folder / "rows.jsonl")
    rows[40]["output"] += POISON
    (folder / "poisoned.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def poison(model: Path) -> None:
    """Make the embedding of one token no number."""
    import torch
    from safetensors.torch import load_file, save_file

    path = model / "model.safetensors"
    tensors = load_file(path)
    tensors["model.embed_tokens.weight"][tiny.SPECIAL.index(POISON)] = torch.nan
    save_file(tensors, path, metadata={"format": "pt"})


def wanted(place: Path, name: str, data: str = "rows.jsonl", **changes: Any) -> dict[str, Any]:
    """A LoRA recipe that saves at every third step and keeps one checkpoint."""
    train = {"max_steps": LAST, **changes.pop("train", {})}
    output = {"save_steps": 3, "keep_checkpoints": 1}
    kind = {"kind": "lora"}
    return tiny.recipe(place / "model", place / data, place / name, method=kind, train=train, output=output, **changes)


@pytest.fixture(scope="module")
def seen(place: Path, hook: ThreadingHTTPServer) -> Seen:
    """A run of which rank 1 is stopped for a while, and then RAM runs short."""
    watch = {**WATCH, "notify_url": f"http://127.0.0.1:{hook.server_address[1]}/hook", "ram_free_gib": 1}
    recipe = wanted(place, "watched", watch=watch, train={"max_steps": ENDLESS}, tracking=["tensorboard"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        run = launch(recipe, wait=False, quiet=True)
        try:
            until(lambda: has_steps(run, 4), seconds=300)
            stop_and_let_go(run)
            short = dataclasses.replace(sampling.read_memory(), available=100 * MIB)
            patch.setattr(sampling, "read_memory", lambda *roots: short)
            patch.setattr(sampling, "read_swap", lambda *roots: Swap(total=0, free=0))
            until(lambda: run.status().state not in GOING, seconds=120)
            run.wait()
        finally:
            run.stop()
    found = newest_complete(run.dir.checkpoints)
    assert found is not None
    return Seen(
        run=run,
        notices=list(hook.got),  # type: ignore[attr-defined]
        events=[event for event in read_lines(run.dir.events) if event["event"] == "watch"],
        samples=sum(sample_from(record) is not None for record in read_lines(run.dir.metrics)),
        checkpoint=found.path,
        steps_before=tiny.metrics(run.path, "step"),
    )


def has_steps(run: Run, count: int) -> bool:
    """Whether it has logged so many steps. AssertionError: it ended before."""
    assert run.status().state in GOING, run.explain()
    return len(tiny.metrics(run.path)) >= count


def stop_and_let_go(run: Run) -> None:
    """SIGSTOP to rank 1 until it was named, then SIGCONT until the ranks were heard again."""
    rank = ranks(members(run.dir, read_process(run.dir)))[1]
    os.kill(rank.pid, signal.SIGSTOP)
    try:
        until(lambda: silences(run.dir)[-1:] == ["began"], seconds=60)
    finally:
        os.kill(rank.pid, signal.SIGCONT)
    until(lambda: silences(run.dir)[-1:] == ["ended"], seconds=60)


def silences(run_dir: RunDir) -> list[str]:
    """What was said of silence; so short a patience is at an end during the imports already."""
    return [event["change"] for event in read_lines(run_dir.events) if event.get("rule") == "silence"]


def test_a_stopped_rank_is_named_with_the_stacks_of_all(seen: Seen) -> None:
    said, over = [event for event in seen.events if event["rule"] == "silence"][-2:]
    assert "in phase train: rank 1 is stopped by a signal" in said["text"]
    assert "rank 0 waits in " in said["text"]
    assert said["todo"].startswith("`kill -CONT ")
    assert over["change"] == "ended"
    stack = seen.run.dir.rank_stacks(0).read_text()
    assert "distributed_c10d.py" in stack
    assert "train" in stack


def test_short_of_ram_it_saves_and_stops(seen: Seen) -> None:
    result = json.loads(seen.run.dir.result.read_text())
    assert result["state"] == "stopped"
    (event,) = [event for event in seen.events if event["rule"] == "ram"]
    assert "100 MiB of RAM and swap left" in event["text"]
    assert seen.checkpoint.name == f"checkpoint-{seen.steps_before[-1]:.0f}"


def test_the_hook_heard_of_it_in_order(seen: Seen) -> None:
    started, *warnings, silent, short, stopped = seen.notices
    assert [started["event"], silent["event"], short["event"], stopped["event"]] == [
        "started",
        "warning",
        "warning",
        "stopped",
    ]
    assert all(notice["rule"] == "silence" for notice in warnings)
    assert "rank 1 is stopped by a signal" in silent["text"]
    assert (short["rule"], short["stops"]) == ("ram", True)
    assert "100 MiB of RAM and swap left" in stopped["text"]
    assert stopped["run_dir"] == str(seen.run.path)


def test_samples_are_kept_in_both_places(seen: Seen) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert seen.samples >= 5
    events = EventAccumulator(str(seen.run.dir.tensorboard / "machine")).Reload()
    assert len(events.Scalars("host/ram_used_gib")) == seen.samples
    assert events.Scalars("step_seconds")[-1].value > 0
    assert all("loss" in record for record in seen.run.metrics())


@pytest.fixture(scope="module")
def gone_on(place: Path, seen: Seen) -> Path:
    """The stopped run gone on to its end, then one with the poisoned row, in one launch."""
    resumed, poisoned = seen.run.path, place / "poisoned"
    tiny.write_run(resumed, wanted(place, "watched", train={"max_steps": int(seen.steps_before[-1]) + 3}))
    tiny.write_run(poisoned, wanted(place, "poisoned", "poisoned.jsonl"))
    RunDir(resumed).stop_request.unlink()
    assert tiny.finish(tiny.start([resumed, poisoned], checkpoints={resumed: seen.checkpoint})) == 130, tiny.log_tail(
        resumed
    )
    return poisoned


def test_the_stopped_run_goes_on_where_it_was(gone_on: Path, seen: Seen) -> None:
    steps = tiny.metrics(seen.run.path, "step")
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) == len(seen.steps_before) + 3
    assert seen.run.dir.success.exists()


def test_a_poisoned_row_ends_the_run_with_its_last_good_checkpoint(gone_on: Path) -> None:
    losses = tiny.metrics(gone_on)
    bad = len(losses)
    assert losses[-1] != losses[-1], "the last logged loss is no number"
    assert all(loss == loss for loss in losses[:-1])
    (event,) = [event for event in read_lines(RunDir(gone_on).events) if event["event"] == "watch"]
    good = newest_complete(RunDir(gone_on).checkpoints)
    proven = [step for step in range(3, bad, 3) if step < bad - 1]
    if proven:
        assert good is not None
        assert good.step == proven[-1]
        assert event["text"] == f"the loss is nan since step {bad}; the last good checkpoint is checkpoint-{good.step}"
    else:
        assert good is None
    assert not RunDir(gone_on).success.exists()
    assert not RunDir(gone_on).failure.exists()
    assert json.loads(RunDir(gone_on).stop_request.read_text())["reason"] == event["text"]
