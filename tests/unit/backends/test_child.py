"""A child process with a limit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest
from waiting import until

from tunekit.backends.child import run_child


def run(code: str, tmp_path: Path, *, limit: float = 60.0) -> tuple[int | None, str]:
    log, seen = tmp_path / "log.txt", []
    found = run_child(
        [sys.executable, "-c", code], env=os.environ, log=log, limit=limit, waiting=lambda: seen.append(1)
    )
    assert seen
    return found, log.read_text()


def test_its_code_and_its_words(tmp_path: Path) -> None:
    found, said = run("import sys; print('said'); print('cried', file=sys.stderr); sys.exit(3)", tmp_path)
    assert found == 3
    assert sorted(said.split()) == ["cried", "said"]


def test_a_file_of_the_user_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "colorsys.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    assert run("import colorsys", tmp_path) == (0, "")


@pytest.mark.parametrize("group", ["", ", process_group=0"])
def test_the_time_is_up_and_its_children_end_too(tmp_path: Path, group: str) -> None:
    """Those with a process group of their own too, as ninja gives to each compiler."""
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']{group})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    found, said = run(code, tmp_path, limit=3.0)
    assert found is None
    (pid,) = map(int, said.split())
    # The kernel ends a killed process in its own time.
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
