from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.errors import UsageError
from tunekit.recipe.data_size import BYTES_PER_TOKEN, estimate_tokens


def test_a_file_holds_a_token_per_so_many_bytes(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"a" * 100 * BYTES_PER_TOKEN)
    assert estimate_tokens(str(file)) == 100


def test_a_folder_holds_what_its_data_files_hold(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"part{number}.{'JSONL' if number else 'jsonl'}").write_bytes(b"a" * 40)
    (tmp_path / "README.md").write_bytes(b"a" * 4000)
    assert estimate_tokens(str(tmp_path)) == 30


def test_shipped_data_is_found() -> None:
    assert estimate_tokens("examples/data/finetuning_qa.jsonl") > 1000


def test_what_is_not_here_or_packed_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--tokens N"):
        estimate_tokens("owner/no_such_data")
    packed = tmp_path / "rows.parquet"
    packed.write_bytes(b"a" * 100)
    with pytest.raises(UsageError, match="does not tell how many tokens"):
        estimate_tokens(str(packed))


def test_an_empty_file_counts_as_one_token(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.touch()
    assert estimate_tokens(str(file)) == 1
