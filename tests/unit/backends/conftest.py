from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plans import make_plan, make_recipe
from tests.runs import write_safetensors
from tunekit.planner.plan import Plan


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A folder that the hub module takes for a whole model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors")
    return folder


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    """Two rows of prompt and completion."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n')
    return path


@pytest.fixture
def plan(tmp_path: Path, model_dir: Path, data_file: Path) -> Plan:
    """A plan for two CPU processes whose model and data are here."""
    recipe = make_recipe(
        model={"path": str(model_dir)}, data={"path": str(data_file)}, output={"dir": str(tmp_path / "run")}
    )
    return make_plan(recipe=recipe)
