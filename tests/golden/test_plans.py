"""The front page, pinned: text and JSON of one plan that fits, one that is tight and one that is rejected."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console

from tunekit.notebook import plan
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_schema, plan_to_json
from tunekit.render.plan_html import plan_html
from tunekit.render.plan_text import render_plan

Golden = Callable[[str, str], None]
CASES = {
    "codellama34b_qlora": ("codellama34b_qlora", (), "fits"),
    "codellama34b_full": ("codellama34b_full", (), "rejected"),
    "codellama34b_qlora_tight": (
        "codellama34b_qlora",
        ("train.micro_batch_size=4", "train.max_seq_length=2304"),
        "tight",
    ),
}


def planned(case: str) -> Plan:
    name, overrides, verdict = CASES[case]
    made = plan(name, overrides)
    assert made.verdict == verdict
    return made


def text(made: Plan, *, width: int = 80, explain: bool = False) -> str:
    file = io.StringIO()
    render_plan(made, Console(file=file, width=width, force_terminal=False), explain=explain)
    return file.getvalue()


@pytest.mark.parametrize("case", CASES)
def test_text(case: str, golden: Golden) -> None:
    golden(f"plans/{case}.txt", text(planned(case)))


@pytest.mark.parametrize("case", CASES)
def test_json(case: str, golden: Golden) -> None:
    golden(f"plans/{case}.json", json.dumps(plan_to_json(planned(case)), indent=2) + "\n")


def test_explained(golden: Golden) -> None:
    golden("plans/codellama34b_qlora_explained.txt", text(planned("codellama34b_qlora"), width=120, explain=True))


def test_html(golden: Golden) -> None:
    golden("plans/codellama34b_full.html", plan_html(planned("codellama34b_full")) + "\n")


def test_schema(golden: Golden) -> None:
    golden("plans/plan.schema.json", json.dumps(plan_schema(), indent=2) + "\n")
