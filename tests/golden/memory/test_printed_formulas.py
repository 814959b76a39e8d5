"""The formulas that `plan --explain` prints, worked out as they stand, are the bytes that the terms count."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tunekit import notebook
from tunekit.memory.terms import MemoryTerm

RECIPES = ("llama31_8b_full", "llama31_8b_qlora", "qwen25_7b_lora", "mixtral8x7b_qlora", "smollm2_135m_full")
HARDWARE = "dual_rtx4090"
ROUNDED = ("pinned blocks", "each tensor a block", "offload_ratio", "on the device")
"""Said in the formula: blocks are rounded up, or sub-groups stay whole."""
NAMES = frozenset(
    {
        "16-bit part of the base", "4-bit base", "scales of the 4-bit base", "activation checkpoints",
        "adapter weights", "attention bias", "attention mask", "base model", "chunked loss",
        "cuBLAS workspace", "CUDA context",
        "gathered weights", "gradients", "inputs and rotary tables", "optimizer states",
        "layer recomputed and in backward", "mapped checkpoint", "processes", "reduce bucket",
    }
)  # fmt: skip
"""At least these must have been worked out."""


def terms() -> Iterator[MemoryTerm]:
    for recipe in RECIPES:
        for term in notebook.plan(recipe, on=HARDWARE).memory.terms:
            if size_of(term):
                yield term


def size_of(term: MemoryTerm) -> int:
    return term.device_bytes or term.host_bytes or term.disk_bytes


def worked_out(formula: str) -> float | None:
    """The number that the text stands for; None where it is not plain arithmetic."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", formula)
    text = re.sub(r"\d+-bit", "", text)
    text = text.replace("MiB", "* 1048576") if text.count("MiB") == 1 else text
    text = re.sub(r"(?<=[\d)\sa-zB])\bx\b", "*", re.split(r", [a-z]|\([a-z][^()]*\)$", text)[0])
    text = re.sub(r"\b(?!min\b|max\b)[A-Za-z_][\w']*", "", text)
    if not re.fullmatch(r"[\d\s.+\-*/(),minax]+", text):
        return None
    try:
        found = eval(text, {"__builtins__": {}, "min": min, "max": max})  # noqa: S307 - digits and signs only
    except (SyntaxError, TypeError):
        return None
    return float(found) if isinstance(found, int | float) else None


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("2 B x 4,096 hidden x 32 layers x 10 tokens", 2 * 4096 * 32 * 10),
        ("(3 B x 2 layers + 4 B x 5 layers) x 7 tokens", 26 * 7),
        ("300 MiB", 300 * 2**20),
        ("8 B x 100 / 2 ranks (adamw)", 400),
        ("min(2 B x 5, 4 B)", 4),
        ("as much as there is", None),
    ],
)
def test_how_a_formula_is_worked_out(formula: str, value: float | None) -> None:
    assert worked_out(formula) == value


def test_what_is_printed_gives_what_is_counted() -> None:
    seen = set()
    for term in terms():
        value = worked_out(term.formula)
        if value is None or any(words in term.formula for words in ROUNDED):
            continue
        assert value == pytest.approx(size_of(term), rel=0.002), (term.name, term.formula)
        seen.add(term.name)
    assert not NAMES - seen
