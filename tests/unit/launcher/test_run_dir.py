from __future__ import annotations

from pathlib import Path

from tunekit.launcher.run_dir import RunDir


def test_every_file_lies_in_the_run_directory_under_a_name_of_its_own():
    run_dir = RunDir(Path("/runs/x"))
    names = [name for name, value in vars(RunDir).items() if isinstance(value, property)]
    paths = [getattr(run_dir, name) for name in names]
    assert len(paths) == len(set(paths)) > 15
    assert all(path.is_relative_to("/runs/x") for path in paths)


def test_numbered_files():
    run_dir = RunDir(Path("/runs/x"))
    assert run_dir.rank_log(1) == Path("/runs/x/logs/rank_1.log")
    assert run_dir.attempt(2) == Path("/runs/x/attempt_2")
