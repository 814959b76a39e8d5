from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plans import make_caller, make_plan, make_recipe
from tests.runs import write_safetensors
from tunekit.backends.session import Start
from tunekit.launcher.caller import Caller
from tunekit.launcher.ops import write_stamp
from tunekit.launcher.run_dir import RunDir
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


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    """Somebody whose ops are built."""
    folder = tmp_path / "ops"
    (folder / "deepspeed_shm_comm").mkdir(parents=True)
    (folder / "deepspeed_shm_comm" / "deepspeed_shm_comm.so").touch()
    write_stamp(folder, "deepspeed_shm_comm")
    return make_caller(environ={"TORCH_EXTENSIONS_DIR": str(folder), "HOME": str(tmp_path)}, cwd=str(tmp_path))


@pytest.fixture
def first(plan: Plan) -> Start:
    """A run that nobody has begun."""
    return Start(plan=plan, recipe_text="model: {}\n", run_dir=RunDir(Path(plan.recipe.output.dir)))
