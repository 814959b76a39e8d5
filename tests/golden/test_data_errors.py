"""Data that cannot be learned from is refused by `tunekit launch` within a second: exit code 2, nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent / "errors"
CASES = {
    "data_empty": "",
    "data_columns": '{"query": "Q", "reply": "A"}\n',
    "data_missing_column": '{"prompt": "Q", "completion": "A"}\n{"prompt": "Q"}\n\n{"prompt": "Q"}\n',
    "data_broken_line": '{"prompt": "Q", "completion": "A"}\n{"prompt": "Q", "completion": "A"\n',
    "data_mixed_types": '{"prompt": "Q", "completion": "A"}\n{"prompt": "Q", "completion": ["A"]}\n',
    "data_unknown_role": '{"messages": [{"role": "user", "content": "Q"}, {"role": "judge", "content": "A"}]}\n',
    "data_preferences": '{"prompt": "Q", "chosen": "A", "rejected": "B"}\n',
    "data_all_empty": '{"prompt": "Q", "completion": ""}\n{"prompt": "Q", "completion": null}\n',
}


@pytest.mark.parametrize("name", CASES)
def test_the_message_is_the_golden_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.jsonl").write_text(CASES[name])
    ran = subprocess.run(
        [sys.executable, "-m", "tunekit", "launch", "quickstart", "data.path=rows.jsonl", "output.dir=run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr == (HERE / f"{name}.txt").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
