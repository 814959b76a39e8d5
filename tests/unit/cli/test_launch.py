from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tunekit.backends import facts
from tunekit.cli import launch as module
from tunekit.cli.launch import launch_recipe
from tunekit.errors import MissingError, UsageError
from tunekit.launcher.outcome import RunResult

OPTIONS = {"on": None, "trust": "both", "dry": False, "json": False, "master_port": None}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def launch(recipe, *overrides, **options):
    try:
        launch_recipe(recipe, list(overrides), **{**OPTIONS, **options})
    except typer.Exit as ended:
        return ended.exit_code
    return 0


def test_dry_run_starts_and_writes_nothing(capsys, tmp_path):
    assert launch("codellama34b_qlora", dry=True) == 0
    printed = capsys.readouterr().out
    assert "--num_gpus 2" in printed
    assert "fetch codellama/CodeLlama-34b" in printed
    assert list(tmp_path.iterdir()) == []


def test_dry_run_of_another_machine_says_so_and_what_to_type_there(capsys):
    launch("codellama34b_qlora", "train.seed=3", dry=True, on="quad_rtx4090", master_port=30000)
    printed = capsys.readouterr().out
    assert "not here: planned for quad_rtx4090 (4 x NVIDIA GeForce RTX 4090), but this machine has" in printed
    assert printed.splitlines()[-1] == (
        "Next, on that machine: tunekit launch codellama34b_qlora train.seed=3 --on quad_rtx4090 --master-port 30000"
    )


@pytest.mark.parametrize("dry", [True, False])
def test_a_dry_run_refuses_what_a_launch_refuses(dry, capsys, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "codellama34b_qlora").touch()
    with pytest.raises(UsageError) as caught:
        launch("codellama34b_qlora", "data.path=nope.jsonl", dry=dry, master_port=99999)
    said = str(caught.value).splitlines()
    assert said[0].startswith(f"output.dir {tmp_path}/runs/codellama34b_qlora is a file")
    assert said[1].startswith("data.path: nope.jsonl does not exist")
    assert said[2].startswith("--master-port 99999: allowed are 1024 to 65535")
    assert any(line.startswith("planned for dual_rtx4090") for line in said)
    assert "Would be started" not in capsys.readouterr().out
    assert [path.name for path in tmp_path.rglob("*")] == ["runs", "codellama34b_qlora"]


def test_a_dry_run_shows_the_command_and_then_what_this_machine_lacks(capsys, monkeypatch):
    monkeypatch.setattr(facts, "missing_modules", lambda: ("trl",))
    with pytest.raises(MissingError, match="packages that training needs are not installed: trl"):
        launch("smollm2_135m_lora", dry=True, on="local")
    printed = capsys.readouterr().out
    assert "--module tunekit.worker" in printed
    assert "Next" not in printed


def test_dry_run_as_json(capsys):
    assert launch("codellama34b_qlora", dry=True, json=True, master_port=29999) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["argv"][tree["argv"].index("--master_port") + 1] == "29999"
    assert tree["env"]["NCCL_P2P_DISABLE"] == "1"
    assert tree["run_dir"] == str(Path.cwd() / "runs" / "codellama34b_qlora")


def test_dry_run_needs_nothing_that_trains():
    code = (
        "import sys; from tunekit.cli.launch import launch_recipe; "
        "launch_recipe('codellama34b_qlora', [], on=None, trust='both', dry=True, json=True, master_port=None); "
        "heavy = {'torch', 'deepspeed', 'transformers', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_rejected_plan_is_shown_and_exits_with_3(capsys, tmp_path):
    assert launch("codellama34b_full") == 3
    printed = capsys.readouterr().out
    assert printed.startswith("REJECTED")
    assert printed.splitlines()[-1].startswith(
        "Nothing was started. Next: tunekit launch codellama34b_full method.kind="
    )
    assert launch("codellama34b_full", json=True) == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "rejected"
    assert list(tmp_path.iterdir()) == []


class FakeRun:
    """A run that has ended."""

    def __init__(self, state):
        self.path = Path("/runs/x")
        self.result = RunResult(state=state, attempt=1, exit_code=0, success={"steps": 7})

    def checked(self):
        return self.result

    def show_result(self, console):
        console.print(f"shown: {self.result.state}")


@pytest.fixture
def ended(monkeypatch):
    """Every start ends at once in a state; returns the orders that were given."""
    orders = []

    def set_state(state):
        def start(order, console, on_oom):
            orders.append(order)
            return FakeRun(state)

        monkeypatch.setattr(module, "start", start)
        return orders

    return set_state


def test_a_run_that_is_done_is_shown(ended, capsys):
    orders = ended("done")
    assert launch("smollm2_135m_lora", on="dual_rtx4090") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("smollm2_135m_lora: fits. ")
    assert "shown: done" in printed
    assert orders[0].run_dir.path == Path.cwd() / "runs" / "smollm2_135m_lora"


def test_doubts_of_the_doctor_are_said_before_the_start(ended, capsys, monkeypatch):
    ended("done")
    monkeypatch.setenv("DEEPSPEED_TIMEOUT", "5")
    launch("smollm2_135m_lora", on="dual_rtx4090")
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("smollm2_135m_lora: fits. ")
    (said,) = (line for line in rest if line.startswith("Warning: variables: "))
    assert said.startswith("Warning: variables: DEEPSPEED_TIMEOUT=5 minutes end a run")
    assert rest[-1] == "shown: done"
    launch("smollm2_135m_lora", on="dual_rtx4090", json=True)
    assert "Warning" not in capsys.readouterr().out


@pytest.mark.parametrize("dry", [True, False])
def test_where_something_is_missing_the_doctor_is_named(dry, capsys, monkeypatch):
    monkeypatch.setattr(facts, "missing_modules", lambda: ("trl",))
    with pytest.raises(MissingError) as caught:
        launch("smollm2_135m_lora", "train.seed=3", dry=dry, on="local")
    assert str(caught.value).splitlines()[-1] == (
        "`tunekit doctor smollm2_135m_lora train.seed=3 --on local` tells all, with what to type."
    )


def test_a_folder_with_brackets_is_named_as_it_is(ended, capsys):
    ended("done")
    launch("smollm2_135m_lora", "output.dir=runs/a[bold]", on="dual_rtx4090")
    assert capsys.readouterr().out.startswith("a[bold]: fits. ")


def test_json_is_alone_on_standard_output(ended, capsys):
    ended("done")
    assert launch("smollm2_135m_lora", on="dual_rtx4090", json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"run_dir": "/runs/x", "state": "done", "steps": 7}


def test_a_stopped_run_exits_with_130(ended):
    ended("stopped")
    assert launch("smollm2_135m_lora", on="dual_rtx4090") == 130


def test_a_terminal_that_is_closed_ends_nothing(monkeypatch):
    replaced = []
    monkeypatch.setattr(module.os, "isatty", lambda stream: stream == 2)
    monkeypatch.setattr(module.os, "dup2", lambda new, old: replaced.append(old))
    with module._gentle_signals():
        signal.raise_signal(signal.SIGHUP)
    assert replaced == [2], "what is written to a file stays"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_a_background_interrupt_stop_gently(number, monkeypatch):
    def start(order, console, on_oom):
        os.kill(os.getpid(), number)
        return FakeRun("done")

    monkeypatch.setattr(module, "start", start)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            launch("smollm2_135m_lora", on="dual_rtx4090")
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_resume_of_what_is_no_run():
    with pytest.raises(UsageError, match="not a run directory"):
        module.resume_run("nowhere")


def test_resume_shows_how_it_ended(tmp_path, monkeypatch, capsys):
    from tests.plans import make_plan
    from tests.runs import write_run

    run_dir = write_run(tmp_path / "runs" / "x", make_plan())
    resumed = []
    monkeypatch.setattr(module, "resume", lambda *asked, **kwargs: resumed.append(asked) or FakeRun("done"))
    module.resume_run("x", ["hardware=local"])
    assert resumed == [(run_dir, ["hardware=local"])]
    assert "shown: done" in capsys.readouterr().out


def test_what_follows_when_memory_runs_out_is_handed_on_and_checked(monkeypatch, ended):
    asked = []
    ended("done")
    monkeypatch.setattr(module, "start", lambda order, console, on_oom: asked.append(on_oom) or FakeRun("done"))
    assert launch("smollm2_135m_lora", on="dual_rtx4090", on_oom="retry") == 0
    assert asked == ["retry"]
    with pytest.raises(UsageError, match="--on-oom again: allowed are stop, retry"):
        launch("smollm2_135m_lora", on_oom="again")
