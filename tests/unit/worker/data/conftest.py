from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data_cases
import pytest

from tunekit.recipe.job import Job
from tunekit.recipe.schema import Recipe


@pytest.fixture
def make_tokenizer() -> Callable[..., Any]:
    """`data_cases.make_tokenizer` as a fixture."""
    return data_cases.make_tokenizer


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., str]:
    """Writes rows as JSON Lines and gives the path."""

    def write(rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
    """`data_cases.recipe` as a fixture."""
    return data_cases.recipe


@pytest.fixture
def make_job() -> Callable[..., Job]:
    """`data_cases.job` as a fixture."""
    return data_cases.job
