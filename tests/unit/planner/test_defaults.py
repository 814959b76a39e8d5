from __future__ import annotations

from dataclasses import replace

import pytest
from planning import CODELLAMA_34B, LLAMA_8B, SMOLLM, laptop, machine, recipe_for, resolved, shape_of

from tunekit.errors import RecipeError
from tunekit.planner import defaults
from tunekit.recipe.job import Quantization
from tunekit.units import GIB


def test_cards_decide_the_accelerator() -> None:
    assert defaults.accelerator_of(machine()) == "cuda"
    assert defaults.accelerator_of(laptop()) == "cpu"


def test_full_fine_tuning_has_no_adapter() -> None:
    assert defaults.answer_adapter(recipe_for(kind="full").method, shape_of(SMOLLM)) == (None, ())


def test_an_open_adapter_is_rank_16_alpha_32_on_every_linear() -> None:
    adapter, decisions = defaults.answer_adapter(recipe_for().method, shape_of(SMOLLM))
    assert adapter is not None
    assert (adapter.rank, adapter.alpha, len(adapter.target_modules)) == (16, 32, 7)
    assert [each.key for each in decisions] == ["method.rank", "method.alpha", "method.target_modules"]


def test_alpha_follows_a_written_rank() -> None:
    adapter, decisions = defaults.answer_adapter(recipe_for(method__rank=64).method, shape_of(SMOLLM))
    assert adapter is not None
    assert adapter.alpha == 128
    assert "method.rank" not in [each.key for each in decisions]


def test_written_targets_are_kept_and_unknown_ones_refused() -> None:
    method = recipe_for(method__target_modules=("q_proj", "v_proj")).method
    adapter, decisions = defaults.answer_adapter(method, shape_of(SMOLLM))
    assert adapter is not None
    assert adapter.target_modules == ("q_proj", "v_proj")
    assert "method.target_modules" not in [each.key for each in decisions]
    with pytest.raises(RecipeError, match="wq_proj"):
        defaults.answer_adapter(recipe_for(method__target_modules=("wq_proj",)).method, shape_of(SMOLLM))


def test_only_qlora_quantises() -> None:
    assert defaults.answer_quantization(recipe_for(kind="lora").method) is None
    assert defaults.answer_quantization(recipe_for(kind="qlora").method) == Quantization(kind="nf4", double_quant=True)


def test_precision_follows_the_weakest_card() -> None:
    old = replace(machine(), gpus=tuple(replace(gpu, compute_capability=7.5) for gpu in machine().gpus))
    assert defaults.answer_precision(None, machine()).value == "bf16"
    assert defaults.answer_precision(None, laptop()).value == "bf16"
    assert defaults.answer_precision(None, old).value == "fp16"
    assert "7.5" in str(defaults.answer_precision(None, old).decision)
    assert defaults.answer_precision("fp32", machine()).decision is None


def test_attention_is_sdpa_but_for_models_that_cap_their_scores() -> None:
    assert defaults.answer_attention(None, shape_of(LLAMA_8B)).value == "sdpa"
    assert defaults.answer_attention(None, replace(shape_of(LLAMA_8B), family="gemma2")).value == "eager"
    assert defaults.answer_attention("flash_attention_2", shape_of(LLAMA_8B)).decision is None


def test_the_optimizer_is_adamw_unless_written() -> None:
    assert defaults.answer_optimizer(None).value == "adamw"
    assert defaults.answer_optimizer("lion").value == "lion"


@pytest.mark.parametrize(
    ("model", "kind", "rate"),
    [
        (LLAMA_8B, "full", 1e-5),
        (LLAMA_8B, "lora", 1e-4),
        (LLAMA_8B, "qlora", 2e-4),
        ("Qwen/Qwen2.5-14B-Instruct", "qlora", 2e-4),
        (CODELLAMA_34B, "qlora", 1e-4),
    ],
)
def test_learning_rates_are_those_of_the_field(model: str, kind: str, rate: float) -> None:
    assert defaults.answer_learning_rate(recipe_for(model, kind), shape_of(model)).value == rate


def test_a_written_learning_rate_stands() -> None:
    answer = defaults.answer_learning_rate(recipe_for(train__learning_rate=3e-4), shape_of(SMOLLM))
    assert (answer.value, answer.decision) == (3e-4, None)


def test_packing_is_on_where_keeping_samples_apart_is_cheap() -> None:
    recipe = recipe_for()
    assert defaults.answer_packing(recipe, "sdpa", "cuda", 2048).value is True
    assert defaults.answer_packing(recipe, "flash_attention_2", "cuda", 65536).value is True
    assert defaults.answer_packing(recipe, "sdpa", "cuda", 8193).value is False
    assert defaults.answer_packing(recipe, "eager", "cuda", 256).value is False
    assert defaults.answer_packing(recipe, "sdpa", "cpu", 256).value is False


def test_the_cost_of_packing_is_named() -> None:
    decision = defaults.answer_packing(recipe_for(), "sdpa", "cuda", 16384).decision
    assert decision is not None
    assert "16,384" in decision.reason
    assert "768 MiB" in decision.reason
    assert defaults.answer_packing(recipe_for(data__packing=True), "eager", "cpu", 1).decision is None


def test_the_loss_is_full_only_where_all_logits_are_small() -> None:
    shape = shape_of(LLAMA_8B)
    assert defaults.answer_loss(recipe_for(), shape, machine(), 2048).value == "chunked"
    assert defaults.answer_loss(recipe_for(), shape, machine(), 256).value == "full"
    assert defaults.answer_loss(recipe_for(), shape, laptop(), 256).value == "full"
    assert defaults.answer_loss(recipe_for(), shape, laptop(), 2048).value == "chunked"
    assert defaults.answer_loss(recipe_for(train__loss="full"), shape, machine(), 10**6).decision is None


def test_the_limit_of_a_full_loss_is_three_percent_of_the_card() -> None:
    decision = defaults.answer_loss(recipe_for(), shape_of(SMOLLM), machine(), 1024).decision
    assert decision is not None
    assert machine().gpus[0].usable_bytes * 3 // 100 < GIB
    assert "3 % of the card" in decision.reason


def test_the_mask_of_packed_rows_is_said_with_its_arithmetic_as_the_memory_model_counts_it() -> None:
    decision = defaults.answer_packing(recipe_for(), "sdpa", "cuda", 2048).decision
    assert decision is not None
    assert decision.reason == (
        "no padding; the mask that keeps the samples of a row apart in sdpa takes 12 MiB (3 B x 2,048 x 2,048 tokens)"
    )
    found = resolved(recipe_for(LLAMA_8B, data__packing=True, train__micro_batch_size=1)).trial
    terms = [term for term in found.memory.terms if term.name in ("attention mask", "attention bias")]
    assert sum(term.device_bytes for term in terms) == defaults.MASK_BYTES * 2048**2


def test_answers_alone_are_learned_where_a_format_has_them() -> None:
    for keys, value in (({}, True), ({"data__format": "alpaca"}, True), ({"data__format": "text"}, False)):
        answer = defaults.answer_completion_only_loss(recipe_for(**keys).data)
        assert answer.value is value
        assert answer.decision is not None
    written = defaults.answer_completion_only_loss(recipe_for(data__completion_only_loss=False).data)
    assert (written.value, written.decision) == (False, None)
