"""The coefficients of activations and loss against transformers' and TRL's own code, on small models."""

from __future__ import annotations

from typing import Any

import pytest
from memory_jobs import job, machine

from tunekit.memory import activations, logits
from tunekit.memory.case import Case, make_case
from tunekit.model_shape.adapters import resolve_target_modules

pytestmark = pytest.mark.train

traced = pytest.importorskip("tests.contract.memory.traced")

SHORT, LONG = 256, 512
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"head_dim": 32},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "gemma": {"head_dim": 32},
    "phi3": {},
    "olmo": {},
    "stablelm": {},
    "gpt_neox": {},
    "falcon": {"multi_query": True, "parallel_attn": True, "bias": False, "alibi": False},
}


def case(config: dict[str, Any], targets: tuple[str, ...], tokens: int, **changes: Any) -> Case:
    plan = job(
        "lora" if targets else "full",
        targets=targets,
        rank=8,
        ranks=1,
        packing=False,
        max_seq_length=tokens,
        **{"attention": "sdpa", **changes},
    )
    return make_case(plan, traced.shape_of(config), machine(1))


def all_linear(config: dict[str, Any], method: str) -> tuple[str, ...]:
    return resolve_target_modules(traced.shape_of(config), "all-linear") if method == "lora" else ()


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_one_layer_saves(family: str, method: str) -> None:
    two, four = (traced.config(family, layers, **FAMILIES[family]) for layers in (2, 4))
    targets, tokens = all_linear(two, method), 64
    found = traced.saved_bytes(traced.build(four, targets), tokens) - traced.saved_bytes(
        traced.build(two, targets), tokens
    )
    assert activations.saved_per_layer(case(two, targets, tokens)) == pytest.approx(found / 2 / tokens, rel=0.02)


@pytest.mark.parametrize("loss", ["full", "chunked"])
def test_the_loss_grows_as_estimated(loss: str) -> None:
    """transformers' own loss, and TRL's fused head as it runs without Triton."""
    from trl.trainer.utils import add_fused_lm_head

    config = traced.config("llama", 2, vocab_size=30_000)

    def measured(tokens: int) -> int:
        model = traced.build(config, ("q_proj",))
        head = {"fused_lm_head": True} if loss == "chunked" else {}
        if head:
            add_fused_lm_head(model.get_base_model(), outputs=("log_probs",))
        rows = traced.ids(model, tokens)
        forward = lambda: model.get_base_model()(input_ids=rows, labels=rows, use_cache=False, **head).loss  # noqa: E731
        return traced.peak_bytes(model, forward, checkpointing=True)  # type: ignore[no-any-return]

    def estimated(tokens: int) -> int:
        plan = job("lora", targets=("q_proj",), ranks=1, max_seq_length=tokens, loss=loss)
        found = make_case(plan, traced.shape_of(config), machine(0))
        return logits.loss(found).device_bytes + activations.activation_checkpoints(found).device_bytes

    assert estimated(LONG) - estimated(SHORT) == pytest.approx(measured(LONG) - measured(SHORT), rel=0.05)
