"""Formulas and traces agree on activations: a sample of families, methods, checkpointing and batches.

The whole catalogue: `benchmarks/trace_agreement.py`.
"""

from __future__ import annotations

from itertools import cycle

import pytest
from trace_agreement import BATCHES, LIMIT, METHODS, AgreementCase, compare, distinct_models, make

pytestmark = pytest.mark.train

pytest.importorskip("torch")

MODELS = (
    "meta-llama/Meta-Llama-3-8B",
    "meta-llama/Llama-2-70b-hf",
    "HuggingFaceTB/SmolLM2-135M",
    "mistralai/Mistral-7B-v0.3",
    "Qwen/Qwen2.5-7B",
    "Qwen/Qwen3-8B",
    "google/gemma-7b",
    "google/gemma-2-9b",
    "microsoft/phi-4",
    "allenai/OLMo-2-1124-7B",
    "stabilityai/stablelm-2-1_6b",
    "EleutherAI/pythia-6.9b",
    "mistralai/Mixtral-8x7B-v0.1",
    "Qwen/Qwen3-30B-A3B",
)


def cases() -> list[AgreementCase]:
    """Every model under every method, checkpointing and batches taken in turn."""
    configs = dict(distinct_models())
    turns = zip(cycle((True, False, False, True, True)), cycle(BATCHES), strict=False)
    pairs = [(model, method) for model in MODELS for method in METHODS]
    drawn = [make(model, configs[model], method, *turn) for (model, method), turn in zip(pairs, turns, strict=False)]
    # A norm after a wide feed-forward part lets go of what it kept before that part's gradients are there.
    after = (("allenai/OLMo-2-0325-32B", "full", BATCHES[2]), ("google/gemma-3-1b-pt", "qlora", BATCHES[3]))
    return [*drawn, *(make(model, configs[model], method, True, rows) for model, method, rows in after)]


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.model}-{case.job.method}")
def test_formulas_and_trace_agree(case: AgreementCase) -> None:
    found = compare(case)
    assert abs(found.error) <= LIMIT, f"{found.part}: traced {found.traced:,}, formulas {found.formula:,}"


def test_every_layer_traced_says_the_same_as_the_line_through_two_depths() -> None:
    configs = dict(distinct_models())
    case = make("HuggingFaceTB/SmolLM2-135M", configs["HuggingFaceTB/SmolLM2-135M"], "lora", False, BATCHES[1])
    assert compare(case, all_layers=True).traced == pytest.approx(compare(case).traced, rel=0.002)
