"""Own or rent, pinned: the seed box beside the shipped price list, on a fixed day."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date

import pytest
from rich.console import Console

from tunekit.notebook import plan
from tunekit.planner.compare import compare
from tunekit.prices.loading import load_prices
from tunekit.prices.owning import owned
from tunekit.render.compare_text import render_comparison

Golden = Callable[[str, str], None]


@pytest.mark.parametrize("name", ["codellama34b_qlora", "codellama34b_full"])
def test_text(name: str, golden: Golden) -> None:
    made, file = plan(name), io.StringIO()
    found = compare(made, load_prices(), owned=owned(made.hardware))
    render_comparison(found, Console(file=file, width=80, force_terminal=False), date(2026, 11, 22))
    golden(f"plans/{name}_compare.txt", file.getvalue())
