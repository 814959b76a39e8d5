"""The real thing: `tunekit launch` as a user types it, with real ranks under the real launcher."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from tests.integration import tiny
from tests.waiting import until
from tunekit.backends.processes import members, ranks, read_process
from tunekit.hardware.profile_text import hardware_to_yaml
from tunekit.launcher.checkpoints import newest_complete
from tunekit.launcher.run_dir import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.train]

ENDLESS = 1_000_000
ROUNDING = 1e-3
"""Gradients in bf16 are summed in another order by another number of ranks."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: a model, data, and recipes."""
    folder = tmp_path_factory.mktemp("launch")
    tiny.write_model(folder / "model")
    tiny.write_data(folder / "rows.jsonl")
    for name, steps in (("short", 6), ("endless", ENDLESS)):
        wanted = tiny.recipe(
            Path("model"),
            Path("rows.jsonl"),
            Path("runs") / name,
            method={"kind": "lora"},
            train={"max_steps": steps},
            output={"save_steps": 3, "sample_prompts": ["What colour is the car?"], "sample_tokens": 4},
            tracking=["tensorboard"],
        )
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(wanted))
    return folder


@pytest.fixture
def tunekit(place: Path) -> Iterator[object]:
    """Starts `tunekit` commands in that folder; whatever a test leaves behind is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "tunekit", *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(argv, cwd=place, stdout=pipe, stderr=pipe, text=True, env=environment()))
        return started[-1]

    yield begin
    for command in started:
        command.kill()
        command.communicate()
    for run in (place / "runs").glob("*"):
        for process in members(RunDir(run), read_process(RunDir(run))):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def environment() -> dict[str, str]:
    """A shell with leftovers of another launcher in it."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "RANK": "7", "WORLD_SIZE": "9", "MASTER_PORT": "1", **PLANTED}


PLANTED = {
    "HF_TOKEN": "planted-hf-token-value",
    "WANDB_API_KEY": "0123456789abcdef0123456789planted",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret",
    "MY_WEBHOOK_URL": "https://example.org/planted/hook",
}
TELL_TALE = """\
import os, subprocess
if "TUNEKIT_RUN" in os.environ:
    print({"HF_TOKEN": os.environ["HF_TOKEN"], "said": os.environ["MY_WEBHOOK_URL"]}, flush=True)
    subprocess.run(["sh", "-c", "echo child says $WANDB_API_KEY $AWS_SECRET_ACCESS_KEY"])
"""
"""What a careless library does in every process of a run, before tunekit has begun."""


def assert_no_secret(run: RunDir, *said: str) -> None:
    """None of what was planted stands in any file of the run, nor in what the commands said."""
    files = {path: path.read_bytes().decode(errors="replace") for path in run.path.rglob("*") if path.is_file()}
    texts = {**files, **{Path(f"output {number}"): text for number, text in enumerate(said)}}
    leaks = [(str(path), name) for path, text in texts.items() for name, value in PLANTED.items() if value in text]
    assert leaks == []
    assert not any("hf_" + "p" * 30 in text for text in texts.values())
    assert "child says [hidden] [hidden]" in run.rank_log(0).read_text()


def ended(command: subprocess.Popen[str], *, timeout: float = 500) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    output, errors = command.communicate(timeout=timeout)
    return command.returncode, output, errors


def wait_for_steps(run: RunDir, count: int, command: subprocess.Popen[str]) -> None:
    """Return when the attempt has logged `count` steps."""
    wait_for(lambda: len(tiny.metrics(run.path)) >= count, command)


def wait_for(condition: Callable[[], bool], command: subprocess.Popen[str]) -> None:
    """Return when `condition` holds; AssertionError with what the command said when it ends before."""

    def there() -> bool:
        if command.poll() is not None:
            raise AssertionError(f"ended with {ended(command)}")
        return condition()

    until(there, seconds=400)


def no_process(run: RunDir) -> bool:
    """Whether no process of the run lives; asked of the system, not of tunekit."""
    mark = str(run.path)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            marked = process.environ().get("TUNEKIT_RUN") == mark
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def test_a_recipe_becomes_a_result(tunekit, place, monkeypatch):  # type: ignore[no-untyped-def]
    (place / "careless").mkdir()
    (place / "careless" / "sitecustomize.py").write_text(TELL_TALE)
    monkeypatch.setenv("PYTHONPATH", str(place / "careless"))
    with (place / "short.yaml").open("a") as file:
        file.write("# hf_" + "p" * 30 + "\n")
    code, output, errors = ended(tunekit("launch", "short.yaml", "train.max_steps=5"))
    assert code == 0, errors
    assert_no_secret(RunDir(place / "runs" / "short"), output, errors)
    monkeypatch.undo()
    run = RunDir(place / "runs" / "short")
    success = json.loads(run.success.read_text())
    assert success["steps"] == 5
    assert json.loads(run.result.read_text())["state"] == "done"
    assert "#   train.max_steps=5" in run.recipe.read_text()
    for rank in range(2):
        assert run.rank_log(rank).stat().st_size > 0
    for part in (
        "training …",
        "step 5/5",
        "Done: 5 steps",
        "host",
        "What colour is the car?",
        "Result: runs/short/final",
    ):
        assert part in output
    assert run.final.joinpath("adapter_model.safetensors").stat().st_size > 0
    assert list(run.tensorboard.glob("events.*"))
    assert no_process(run)

    before = run.success.read_bytes()
    code, _, errors = ended(tunekit("launch", "short.yaml"))
    assert (code, "already holds a run (done, step 5 of 5)" in errors) == (2, True)
    assert run.success.read_bytes() == before

    script = subprocess.run([run.launch_script], capture_output=True, text=True, env=environment(), timeout=300)
    assert (script.returncode, "launch.sh trains over nothing" in script.stderr) == (2, True)
    assert run.success.read_bytes() == before

    run.success.unlink()
    two = tiny.metrics(run.path)
    (place / "alone.yaml").write_text(hardware_to_yaml(tiny.machine(processes=1)))
    code, _, errors = ended(tunekit("resume", "short", "hardware=alone.yaml", "train.seed=1"))
    assert (code, "train.seed: cannot change when a run is resumed" in errors) == (2, True)
    code, output, errors = ended(tunekit("resume", "short", "hardware=alone.yaml"))
    assert code == 0, errors
    assert "saved by 2 processes, read by 1 process at ZeRO 2" in output
    assert tiny.metrics(run.path) == pytest.approx(two[3:], rel=ROUNDING)
    assert json.loads(run.launch.read_text())["transfer"] == "universal"
    assert not run.converted.exists()


def test_the_life_of_a_run(tunekit, place):  # type: ignore[no-untyped-def]
    """Ctrl-C, resume, `tunekit stop` from another terminal, resume, a rank killed by the system."""
    run = RunDir(place / "runs" / "endless")
    launched = tunekit("launch", "endless.yaml")
    wait_for_steps(run, 4, launched)
    began = time.monotonic()
    launched.send_signal(signal.SIGINT)
    code, output, errors = ended(launched)
    assert time.monotonic() - began < 10
    assert (code, errors) == (130, "")
    assert no_process(run)
    stopped_at = newest_complete(run.checkpoints)
    assert stopped_at is not None
    assert stopped_at.step == tiny.metrics(run.path, "step")[-1], "the last step done is the step saved"
    assert f"of step {stopped_at.step}. To go on: tunekit resume runs/endless" in output

    resumed = tunekit("resume", "endless")
    wait_for(lambda: run.attempt(1).is_dir(), resumed)
    wait_for_steps(run, 2, resumed)
    assert tiny.metrics(run.path, "step")[0] == stopped_at.step + 1
    assert "running" in ended(tunekit("status", "endless"))[1]
    began = time.monotonic()
    assert ended(tunekit("stop", "runs/endless"))[0] == 0
    assert time.monotonic() - began < 12
    assert ended(resumed)[0] == 130
    assert no_process(run)

    again = tunekit("resume", "endless")
    wait_for(lambda: run.attempt(2).is_dir(), again)
    wait_for_steps(run, 1, again)
    ranks(members(run, read_process(run)))[1].kill()
    code, _, errors = ended(again)
    assert code == 1
    assert errors.startswith("The run failed on rank 1 while training."), "the other rank only lost its peer"
    for part in ("signal 9 (SIGKILL)", "Go on:  tunekit resume"):
        assert part in errors
    assert no_process(run)
    failure = json.loads(run.failure.read_text())
    assert (failure["attempt"], failure["rank"], failure["signal"]) == (3, 1, 9)
    assert "The run failed on rank 1 while training." in ended(tunekit("status", "endless"))[1]
    status = json.loads(ended(tunekit("status", "endless", "--json"))[1])
    assert (status["state"], status["ending"]["failing_rank"], status["ending"]["signal"]) == ("failed", 1, 9)
    assert "failed" in ended(tunekit("runs"))[1]
    assert not shared_memory(run)


def test_a_closed_terminal_or_a_killed_launcher_ends_no_run(tunekit, place):  # type: ignore[no-untyped-def]
    run = RunDir(place / "runs" / "long")
    terminal, its_end = os.openpty()
    argv = [sys.executable, "-m", "tunekit", "launch", "short.yaml", "output.dir=runs/long", "train.max_steps=100"]
    launched = subprocess.Popen(argv, cwd=place, stdout=its_end, stderr=its_end, env=environment())
    os.close(its_end)
    until(lambda: drained(terminal) and len(tiny.metrics(run.path)) >= 3, seconds=400)
    os.close(terminal)
    launched.send_signal(signal.SIGHUP)
    assert launched.wait(timeout=300) == 0
    assert json.loads(run.result.read_text())["state"] == "done"

    run = RunDir(place / "runs" / "endless_again")
    launched = tunekit("launch", "endless.yaml", "output.dir=runs/endless_again")
    wait_for_steps(run, 3, launched)
    launched.kill()
    ended(launched)
    assert "endless_again: running" in ended(tunekit("status", "endless_again"))[1]
    code, _, errors = ended(tunekit("launch", "endless.yaml", "output.dir=runs/endless_again"))
    assert (code, "holds a run that is going on" in errors) == (2, True)
    assert ended(tunekit("resume", "endless_again"))[0] == 2
    assert ended(tunekit("stop", "endless_again"))[0] == 0
    assert no_process(run)
    assert not shared_memory(run)


def drained(terminal: int) -> bool:
    """Read what a program has written to its terminal, so that it never waits for us."""
    while select.select([terminal], [], [], 0)[0]:
        os.read(terminal, 1 << 16)
    return True


def shared_memory(run: RunDir) -> list[Path]:
    """What a run has left in RAM."""
    argv = json.loads(run.launch.read_text())["argv"]
    return list(Path("/dev/shm").glob(f"*_{argv[argv.index('--master_port') + 1]}_*"))
