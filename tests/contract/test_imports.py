"""Planning commands stay light: no library of the runtime is imported by them, proved in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "deepspeed", "bitsandbytes", "numpy", "pandas",
    "pyarrow", "safetensors", "tokenizers", "gguf", "tensorboard", "scipy", "sympy", "matplotlib",
)  # fmt: skip
RUN = """
import json, sys
{body}
heavy = sorted(name for name in {heavy!r} if name in sys.modules)
print("MODULES " + json.dumps([heavy, len(sys.modules)]), file=sys.stderr)
"""
COMMAND = """
sys.argv = {argv!r}
from tunekit.cli.main import main
try:
    main()
except SystemExit as ended:
    assert ended.code == {code}, ended.code
"""


def modules_after(body: str, folder: Path) -> tuple[list[str], int]:
    """Heavy modules that are loaded after `body` ran in a fresh Python, and how many modules in all."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    script = RUN.format(body=body, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("MODULES "))
    heavy, count = json.loads(line.removeprefix("MODULES "))
    return heavy, count


def command(*argv: str, code: int = 0) -> str:
    return COMMAND.format(argv=["tunekit", *argv], code=code)


@pytest.mark.parametrize(
    "body",
    [
        "import tunekit",
        "import tunekit; tunekit.load, tunekit.plan, tunekit.launch, tunekit.Plan, tunekit.Run",
        "import tunekit; tunekit.plan('codellama34b_qlora')._repr_html_()",
        command("plan", "codellama34b_qlora", "--html", "plan.html"),
        command("--help"),
        command("plan", "codellama34b_qlora"),
        command("plan", "codellama34b_qlora", "--explain"),
        command("plan", "codellama34b_qlora", "--json"),
        command("plan", "codellama34b_full", code=3),
        command("fit", "meta-llama/Llama-3.1-8B", "--on", "dual_rtx4090", "--json"),
        command("launch", "quickstart", "--dry-run"),
        command("launch", "codellama34b_qlora", "--dry-run"),
        command("recipes"),
        command("recipes", "show", "quickstart"),
        command("recipes", "schema"),
        command("hardware"),
        command("hardware", "show", "local"),
        command("runs"),
        command("doctor", "--json"),
    ],
)
def test_nothing_heavy_is_imported(body: str, tmp_path: Path) -> None:
    heavy, _ = modules_after(body, tmp_path)
    assert heavy == []


def test_the_probe_would_see_a_heavy_module(tmp_path: Path) -> None:
    heavy, _ = modules_after("import sys, types; sys.modules['torch'] = types.ModuleType('torch')", tmp_path)
    assert heavy == ["torch"]


@pytest.mark.parametrize(
    "argv", [("plan", "codellama34b_qlora"), ("plan", "codellama34b_qlora", "--json"), ("--help",)]
)
def test_the_template_engine_is_loaded_for_pages_only(argv: tuple[str, ...], tmp_path: Path) -> None:
    modules_after(command(*argv) + "assert 'jinja2' not in sys.modules\n", tmp_path)


def test_importing_tunekit_imports_next_to_nothing(tmp_path: Path) -> None:
    _, bare = modules_after("pass", tmp_path)
    _, with_tunekit = modules_after("import tunekit", tmp_path)
    assert with_tunekit - bare < 25
