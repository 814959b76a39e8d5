"""The examples run, as a reader would run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MACHINES = ("single_rtx4090", "dual_rtx4090")
RECIPES = ("llama31_8b_lora", "codellama34b_qlora")


def compare(repository: Path, folder: Path, *words: str) -> str:
    ran = subprocess.run(
        [sys.executable, str(repository / "examples/compare_plans.py"), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_script_prints_the_verdicts_of_the_planner(repository: Path, tmp_path: Path) -> None:
    import tunekit

    shown = compare(repository, tmp_path, *RECIPES, "--on", *MACHINES)
    rows = [line for line in shown.splitlines() if any(verdict in line for verdict in ("fits", "tight", "rejected"))]
    overrides = ("zero.preset=auto", "train.micro_batch_size=auto")
    for recipe, row in zip(RECIPES, rows, strict=True):
        verdicts = [tunekit.plan(recipe, overrides, on=machine).verdict for machine in MACHINES]
        assert recipe in row
        assert [word for word in row.split() if word in ("fits", "tight", "rejected")] == verdicts


def test_the_script_says_whose_verdict_a_rejection_is_with_that_judges_numbers(
    repository: Path, tmp_path: Path
) -> None:
    shown = compare(repository, tmp_path, "codellama34b_qlora", "--on", "single_rtx4090")
    # The memory model alone would call it tight, with 23.4 of 23.5 GiB.
    assert "LLaMA-Factory" in shown
    assert "GPU 24.4 / 23.5" in shown


def test_the_script_runs_as_it_is(repository: Path, tmp_path: Path) -> None:
    shown = compare(repository, tmp_path)
    assert "codellama34b_full" in shown
    assert "rejected" in shown
    assert "fits" in shown


def test_the_script_never_loads_torch(repository: Path) -> None:
    code = (
        "import runpy, sys; sys.argv = ['compare_plans.py', 'llama31_8b_lora', '--on', 'dual_rtx4090'];"
        "runpy.run_path(r'examples/compare_plans.py', run_name='__main__');"
        "loaded = {'torch', 'transformers', 'numpy'} & set(sys.modules); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, capture_output=True, timeout=60)


def test_the_notebook_is_committed_without_output(repository: Path) -> None:
    notebook = json.loads((repository / "examples/quickstart.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
@pytest.mark.train
def test_the_notebook_runs_to_its_end(repository: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(repository / "examples/quickstart.ipynb", as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    short = ["train.max_steps=2", "output.sample_tokens=8", f"output.dir={tmp_path}/run"]
    parameters.source = f"overrides = {short!r}"
    NotebookClient(notebook, timeout=540, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = "\n".join(_shown(cell) for cell in notebook.cells if cell.cell_type == "code")
    assert shown.count('<div class="tunekit">') == 2
    assert "rejected" in shown
    assert "step   2  loss" in shown
    assert "After:" in shown
    assert "adapter_model.safetensors" in shown
    assert (tmp_path / "run/success.json").is_file()


def _shown(cell: Any) -> str:
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", ""))
        texts.extend(output.get("data", {}).values())
    return "\n".join(map(str, texts))
