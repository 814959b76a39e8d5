from __future__ import annotations

import os

from tunekit.launcher.shared_memory import remove_shared_memory


def test_only_this_users_files_of_this_port_are_removed(tmp_path):
    mine = f"deepspeed_allreduce_buffer_{os.getuid()}_127.0.0.1"
    kept = {
        f"{mine}_29501_0",
        f"{mine}_295000_0",
        f"deepspeed_allreduce_buffer_{os.getuid() + 1}_127.0.0.1_29500_0",
        "x",
    }
    for name in (*kept, f"{mine}_29500_0", f"{mine}_29500_1"):
        (tmp_path / name).touch()
    remove_shared_memory(29500, folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_where_there_is_nothing_nothing_happens(tmp_path):
    remove_shared_memory(29500, folder=tmp_path / "none")
