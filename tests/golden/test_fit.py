"""What `tunekit fit` prints on 80 columns, pinned: one that fits, and one that nothing on the machine runs."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from tunekit.notebook import fit
from tunekit.render.fit_text import render_search

CASES = {
    "codellama34b": ("codellama/CodeLlama-34b-hf", ()),
    "llama31_8b_full": ("meta-llama/Llama-3.1-8B", ("method.kind=full",)),
    "llama2_70b_lora": ("meta-llama/Llama-2-70b-hf", ("method.kind=lora",)),
}


@pytest.mark.parametrize("case", CASES)
def test_text(case: str, golden: Callable[[str, str], None]) -> None:
    model, overrides = CASES[case]
    found = fit(model, overrides, on="dual_rtx4090", tokens=10_000_000)
    file = io.StringIO()
    render_search(found, Console(file=file, width=80, force_terminal=False))
    golden(f"fit/{case}.txt", file.getvalue())
