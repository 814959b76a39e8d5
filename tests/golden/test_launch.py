"""What would be started on two RTX 4090, pinned: argv, environment and the script to rerun it by hand."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tests.plans import CPU_BOX, DUAL_4090, make_caller, make_plan, make_recipe
from tests.runs import steps, write_checkpoint, write_lines, write_run
from tunekit.backends.recording import RecordingBackend
from tunekit.backends.session import Start, dry_run, start_run
from tunekit.errors import TunekitError
from tunekit.hardware.spec import Hardware
from tunekit.launcher.preflight import Machine
from tunekit.launcher.run_dir import RunDir
from tunekit.render.request_text import print_request, request_json
from tunekit.source import plan_loaded, read_source

Golden = Callable[[str, str], None]
CASES = {
    "codellama34b_qlora": ("codellama34b_qlora", ()),
    "llama31_8b_full_nvme": (
        "llama31_8b_full",
        ("zero.preset=z3_offload_nvme", "zero.nvme_path=/mnt/nvme1/tunekit", "train.micro_batch_size=1"),
    ),
}


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Start, dict[str, object], str]]:
    """The dry run of a case on its machine: nothing is in the caches, the shell is that of a test."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    def show(case: str) -> tuple[Start, dict[str, object], str]:
        name, overrides = CASES[case]
        loaded = read_source(name, overrides)
        plan = plan_loaded(loaded)
        run_dir = RunDir(Path("/home/user/work") / plan.recipe.output.dir)
        start = Start(plan=plan, recipe_text=loaded.text, run_dir=run_dir)
        box = Machine(hardware=plan.hardware)
        request, before, _ = dry_run(start, make_caller(has_numactl=True, memlock_unlimited=True), box)
        output = io.StringIO()
        print_request(Console(file=output, width=100), plan, request, run_dir, before)
        return start, request_json(plan, request, run_dir, before), output.getvalue()

    return show


@pytest.mark.parametrize("case", CASES)
def test_dry_run(case: str, shown: Callable[[str], tuple[Start, dict[str, object], str]], golden: Golden) -> None:
    _, tree, text = shown(case)
    golden(f"launch/{case}.txt", text)
    pinned = {name: tree[name] for name in ("argv", "env", "unset", "before")}
    golden(f"launch/{case}.json", json.dumps(pinned, indent=2) + "\n")
    assert isinstance(tree["files"], dict)
    golden(f"launch/{case}.sh", tree["files"]["launch.sh"])


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The message of a start that is refused, with this machine's paths left out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"text": "words to learn"}\n')

    def refuse(run_dir: Path, *, data: str = "rows.jsonl", hardware: Hardware = CPU_BOX, **more: object) -> str:
        plan = make_plan(hardware, recipe=make_recipe(data={"path": data}))
        start = Start(plan=plan, recipe_text="", run_dir=RunDir(run_dir), **more)  # type: ignore[arg-type]
        backend, machine = RecordingBackend(), Machine(hardware=CPU_BOX)
        caller = make_caller(environ={"HOME": str(tmp_path)}, cwd=str(tmp_path))
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(TunekitError) as caught:
            start_run(start, caller=caller, machine=machine, backend=backend, report=lambda text: None)
        with pytest.raises(type(caught.value)) as shown:
            dry_run(start, caller, machine)
        assert str(shown.value) == str(caught.value), "a dry run refuses what a launch refuses"
        assert not backend.requests
        assert sorted(tmp_path.rglob("*")) == before
        return f"exit code {caught.value.exit_code}\n{caught.value}\n".replace(str(tmp_path), "HERE")

    return refuse


def test_a_folder_that_holds_a_run(refused: Callable[..., str], tmp_path: Path, golden: Golden) -> None:
    write_lines(write_run(tmp_path / "runs" / "tiny", make_plan()).metrics, steps(3.0, 2.5))
    golden("errors/output_holds_run.txt", refused(tmp_path / "runs" / "tiny"))


def test_a_folder_that_holds_a_run_with_a_checkpoint(
    refused: Callable[..., str], tmp_path: Path, golden: Golden
) -> None:
    run_dir = write_run(tmp_path / "runs" / "tiny", make_plan())
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    write_checkpoint(run_dir.checkpoints, 2)
    golden("errors/output_holds_run_to_resume.txt", refused(run_dir.path))


def test_a_folder_that_is_a_file(refused: Callable[..., str], tmp_path: Path, golden: Golden) -> None:
    golden("errors/output_is_file.txt", refused(tmp_path / "rows.jsonl"))


def test_data_that_is_not_there(refused: Callable[..., str], tmp_path: Path, golden: Golden) -> None:
    golden("errors/launch_data_missing.txt", refused(tmp_path / "runs" / "new", data="row.jsonl"))


def test_data_without_rows(refused: Callable[..., str], tmp_path: Path, golden: Golden) -> None:
    (tmp_path / "empty.jsonl").touch()
    golden("errors/launch_data_empty.txt", refused(tmp_path / "runs" / "new", data="empty.jsonl"))


def test_data_without_the_expected_columns(refused: Callable[..., str], tmp_path: Path, golden: Golden) -> None:
    (tmp_path / "odd.jsonl").write_text('{"query": "a", "reply": "b"}\n')
    golden("errors/launch_data_columns.txt", refused(tmp_path / "runs" / "new", data="odd.jsonl"))


def test_all_that_stands_in_the_way_at_once(refused: Callable[..., str], tmp_path: Path, golden: Golden) -> None:
    write_lines(write_run(tmp_path / "runs" / "tiny", make_plan()).metrics, steps(3.0, 2.5))
    message = refused(tmp_path / "runs" / "tiny", data="row.jsonl", hardware=DUAL_4090, wanted_port=99999)
    golden("errors/launch_everything.txt", message)


def test_a_folder_that_holds_something_else(refused: Callable[..., str], tmp_path: Path, golden: Golden) -> None:
    golden("errors/output_not_empty.txt", refused(tmp_path))


def test_a_folder_that_cannot_be_written(refused: Callable[..., str], golden: Golden) -> None:
    message = refused(Path("/proc/runs/tiny"))
    golden("errors/output_read_only.txt", re.sub(r"\(.*?\)", "(REASON)", message))


def test_a_port_in_use(refused: Callable[..., str], tmp_path: Path, golden: Golden) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        message = refused(tmp_path / "runs" / "new", wanted_port=port)
    proposed = message.rstrip(".\n").rsplit(" ", 1)[1]
    golden("errors/port_in_use.txt", message.replace(str(port), "PORT").replace(proposed, "ANOTHER"))
