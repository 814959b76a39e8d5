from __future__ import annotations

import os
import resource

import pytest

from tests.runs import TRACEBACK
from tunekit.launcher.logs import end_of, find_rank_log, hide_secrets, name_rank_logs, tail, traceback_in
from tunekit.launcher.run_dir import RunDir


def run_dir_with(tmp_path, **logs):
    run_dir = RunDir(tmp_path)
    run_dir.logs.mkdir()
    for number, (name, text) in enumerate(logs.items()):
        path = run_dir.logs / f"{name}.log"
        path.write_text(text)
        os.utime(path, (1000 + number, 1000 + number))
    return run_dir


def test_deepspeeds_names_become_plain(tmp_path):
    run_dir = run_dir_with(tmp_path, **{"20261122150033_rank0": "zero", "20261122150033_rank11": "eleven"})
    assert find_rank_log(run_dir, 11).name == "20261122150033_rank11.log"
    name_rank_logs(run_dir)
    assert run_dir.rank_log(0).read_text() == "zero"
    assert find_rank_log(run_dir, 11) == run_dir.rank_log(11)
    assert find_rank_log(run_dir, 1) is None


def test_a_traceback_is_found_in_a_file_of_any_length(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"\xff step\n" * 300_000 + TRACEBACK.encode() + b"later\n" * 300_000)
    assert traceback_in(path) == TRACEBACK.rstrip("\n")
    path.write_text("step 3\nFatal Python error: Segmentation fault\n")
    assert traceback_in(path) == "Fatal Python error: Segmentation fault"
    path.write_text("all went well\n")
    assert traceback_in(path) is None
    path.write_text("")
    assert traceback_in(path) is None


def test_of_a_long_log_only_the_end_is_read(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"first\n" + b"x" * (1 << 20) + b"\nlast\n")
    assert len(end_of(path)) < (1 << 17)
    assert tail(path, 1) == ["last"]
    assert end_of(tmp_path / "none") == ""


def test_tail_shows_the_present_state_of_a_progress_bar(tmp_path):
    path = tmp_path / "log"
    path.write_text("first\n\nLoading:  0%\rLoading: 50%\rLoading: 99%\n\n")
    assert tail(path, 1) == ["Loading: 99%"]
    assert tail(path, 5) == ["first", "Loading: 99%"]
    assert tail(tmp_path / "none", 1) == []


def test_secrets_that_native_code_wrote_are_taken_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "planted-in-the-environment")
    run_dir = RunDir(tmp_path)
    run_dir.logs.mkdir()
    run_dir.rank_log(0).write_bytes(b"loss 1.0\nplanted-in-the-environment \xff\n")
    run_dir.rank_log(1).write_bytes(b"loss 1.0 \xff\n")
    untouched = run_dir.rank_log(1).stat().st_mtime_ns
    hide_secrets(run_dir)
    assert run_dir.rank_log(0).read_bytes() == b"loss 1.0\n[hidden] \xff\n"
    assert run_dir.rank_log(1).stat().st_mtime_ns == untouched


def test_a_log_is_not_lost_where_it_cannot_be_written(tmp_path, monkeypatch):
    """On a full drive; here it is the size of files that has a limit."""
    monkeypatch.setenv("HF_TOKEN", "planted-in-the-environment")
    run_dir = run_dir_with(tmp_path, rank_0="planted-in-the-environment\nKeyError: 3\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            hide_secrets(run_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run_dir.rank_log(0).read_text().endswith("KeyError: 3\n")
