"""What `fit` prints where nothing fits is what `fit` recommends when it is typed."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tunekit.notebook import fit
from tunekit.planner.search_result import SearchResult
from tunekit.recipe.overrides import retyped

CASES: tuple[tuple[str, dict[str, Any], list[str]], ...] = (
    ("meta-llama/Llama-2-70b-hf", {}, ["hardware=dual_rtx4090"]),
    ("meta-llama/Llama-3.1-8B", {}, ["train.max_seq_length=131072", "hardware=single_rtx4090"]),
    ("codellama/CodeLlama-34b-hf", {"method": "full", "goal": "memory"}, ["hardware=dual_rtx3090"]),
    ("meta-llama/Llama-2-13b-hf", {"method": "lora"}, ["zero.stage=2", "hardware=dual_rtx4090"]),
    ("meta-llama/Llama-3.1-8B", {"method": "full"}, ["zero.bf16_states=false", "hardware=single_rtx4090"]),
    ("meta-llama/Llama-2-13b-hf", {"method": "full"}, ["zero.bf16_states=false", "hardware=dual_rtx4090"]),
    ("Qwen/Qwen2.5-7B", {"method": "full"}, ["train.optimizer=adamw", "zero.stage=2", "hardware=single_rtx4090"]),
    ("meta-llama/Llama-2-70b-hf", {"goal": "cost"}, ["method.kind=lora", "zero.stage=3", "hardware=single_rtx4090"]),
    ("meta-llama/Llama-3.1-405B", {}, ["hardware=quad_rtx4090"]),
)


def searched(model: str, flags: dict[str, Any], words: list[str], fix: list[str] | None = None) -> SearchResult:
    """With a fix in the place of what it changes: words with the same keys, and the flag that says the method."""
    method = any(word.startswith("method.kind=") for word in fix or [])
    kept = {name: value for name, value in flags.items() if name != "method" or not method}
    return fit(model, retyped(words, fix or []), **kept)


@pytest.mark.parametrize(("model", "flags", "words"), CASES)
def test_typing_a_fix_of_a_search_gives_what_it_says(model: str, flags: dict[str, Any], words: list[str]) -> None:
    first = searched(model, flags, words)
    assert first.recommended is None
    assert first.fixes
    for fix in first.fixes:
        typed = shlex.split(fix.set)
        best = searched(model, flags, words, typed).recommended
        assert typed
        assert best is not None, fix.set
        assert (best.verdict, best.speed.tokens_per_second.expected) == (fix.verdict, fix.tokens_per_second), fix.set
        if fix.needs_by == "model":
            assert getattr(best, fix.needs_place).high_bytes == fix.needs_bytes, fix.set


@pytest.mark.parametrize(("model", "flags", "words"), CASES)
def test_what_was_stated_is_kept_or_named(model: str, flags: dict[str, Any], words: list[str]) -> None:
    stated = dict(word.split("=") for word in words if word.startswith("zero."))
    for fix in searched(model, flags, words).fixes:
        typed = shlex.split(fix.set)
        zero = searched(model, flags, words, typed).recipe.zero
        for key, value in stated.items():
            named = any(word.startswith(f"{key}=") for word in typed)
            assert named or str(getattr(zero, key.removeprefix("zero."))).lower() == value, fix.set
