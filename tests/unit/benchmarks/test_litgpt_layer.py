"""What litgpt's own model keeps: of a layer, and of the micro-step before."""

from __future__ import annotations

from accuracy.engines import engine_terms
from accuracy.mapping import map_row
from accuracy.rows import Row
from accuracy.setting import Setting
from measurement_rows import ROW

from tunekit.memory.case import make_case

CELLS = {"framework": "litgpt", "model": "Llama-2-7b-hf", "lora_targets": "query,value", "seq_len": "512", "quant": ""}


def setting(**cells: str) -> Setting:
    found = map_row(Row(cells=ROW | CELLS | cells))
    assert isinstance(found, Setting), found
    return found


def terms(found: Setting) -> dict[str, int]:
    case = make_case(found.job, found.shape, found.hardware, found.practice)
    return {term.name: term.device_bytes for term in engine_terms(case, found.engine, found.states)}


def test_a_layer_of_llama_2_saves_what_was_counted_on_litgpts_block():
    found = setting(method="lora", base_weight_dtype="bf16")
    assert abs((found.practice.layer_bytes or 0) / found.shape.hidden_size / 43.5 - 1) < 0.01


def test_capped_scores_are_written_out():
    plain, capped = setting(model="gemma-2b"), setting(model="gemma-2-2b")
    assert capped.practice.logit_bytes == plain.practice.logit_bytes + 2
    longer = setting(model="gemma-2-2b", seq_len="1024")
    heads = capped.shape.num_heads
    assert (longer.practice.layer_bytes or 0) - (capped.practice.layer_bytes or 0) == 8 * heads * 512


def test_the_step_before_leaves_logits_and_inputs_of_4_bit_linears():
    plain, quantised = setting(method="lora", base_weight_dtype="bf16"), setting(quant="bnb.nf4")
    shape = plain.shape
    assert plain.states.left_over == 2 * shape.vocab_size
    assert quantised.states.left_over - plain.states.left_over == 2 * shape.num_layers * (3 * 4096 + 11008)
    tokens = quantised.job.batch.micro_batch_size * 512
    assert terms(quantised)["left of the last step"] == quantised.states.left_over * tokens


def test_nothing_is_left_where_the_longest_row_comes_first():
    assert setting(framework="litgpt (PyTorch 2.1.0)").states.left_over == 0


def test_4_bit_weights_are_dequantised_and_copied():
    found = terms(setting(quant="bnb.nf4"))
    assert found["dequantised head"] == 2 * 2 * 32000 * 4096
    assert found["copy of the dequantised weight"] == 2 * 11008 * 4096
