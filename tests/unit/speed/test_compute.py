from dataclasses import replace
from typing import Any

import pytest
from speed_jobs import case, seven

from tunekit.speed import compute
from tunekit.speed.case import SpeedCase
from tunekit.speed.habits import Habits


def test_matrix_products_are_4_6_and_8_per_weight_and_token():
    """2 forward, 2 recomputed, 2 for inputs' gradients, 2 for weights': full 6 or 8, frozen 4 or 6."""
    rate = case().rates.matmul.value
    edges = {name: seconds(name, checkpoint) for name in ("full", "lora") for checkpoint in (True, False)}
    assert edges
    for method, recompute, factor in (("full", True, 8), ("full", False, 6), ("lora", True, 6), ("lora", False, 4)):
        asked = case(method, activation_checkpointing=recompute, max_seq_length=4096)
        work = factor * asked.counts.products * 4096 / rate
        found = compute.matrix_products(asked)
        assert work < found.seconds < 1.1 * work
        assert found.formula.startswith(f"{factor} x")


def seconds(method: str, checkpoint: bool) -> float:
    return compute.matrix_products(case(method, activation_checkpointing=checkpoint)).seconds


def test_few_tokens_wait_for_the_weights_to_be_read():
    one, two = (compute.matrix_products(case("lora", max_seq_length=length)).seconds for length in (16, 32))
    assert one > 0.9 * two


def test_attention_grows_with_the_square_of_the_row():
    short, long = (compute.attention(case(max_seq_length=length)).seconds for length in (2048, 8192))
    assert long == pytest.approx(16 * short)


def test_a_mask_costs_both_triangles():
    flash = compute.attention(case(attention="flash_attention_2")).seconds
    masked = compute.attention(case(attention="sdpa", packing=True)).seconds
    assert masked == pytest.approx(2 * flash / compute.MASKED_SHARE)
    assert compute.attention(case(attention="eager")).seconds > masked


def positions_seen(window: int, **job: Any) -> float:
    """Seconds of a layer with the window per those of one without."""
    whole = compute.attention(case(**job)).seconds
    return 2 * compute.attention(_windowed(window, **job)).seconds / whole - 1


def test_flash_attention_computes_no_more_than_the_window_of_the_layers_that_have_one():
    flash = {"attention": "flash_attention_2", "max_seq_length": 2048}
    for window in (512, 1024, 2047):
        # Position i sees min(i, window) of those before it.
        band = sum(min(position, window) for position in range(2048)) / sum(range(2048))
        assert positions_seen(window, **flash) == pytest.approx(band, rel=1e-3)
    assert positions_seen(2048, **flash) == positions_seen(4096, **flash) == 1
    assert "16 layers see 512" in compute.attention(_windowed(512, **flash)).formula


def _windowed(window: int, **job: Any) -> SpeedCase:
    return case(shape=replace(seven(), sliding_window=window, sliding_layers=16), **job)


def test_a_window_within_the_row_costs_sdpa_a_dense_mask():
    rows = {"attention": "sdpa", "packing": False, "max_seq_length": 2048}
    row = case(**rows).row
    assert positions_seen(row, **rows) == pytest.approx(2 / compute.MASKED_SHARE)
    assert positions_seen(row + 1, **rows) == pytest.approx(1)
    assert positions_seen(512, attention="sdpa", packing=True) == pytest.approx(1)


def test_recomputation_repeats_the_forward_of_kernels_too():
    fewer, more = (compute.elementwise(case(activation_checkpointing=again)) for again in (False, True))
    forward, backward = compute.elementwise_bytes(case())
    assert more.seconds / fewer.seconds == pytest.approx((2 * forward + backward) / (forward + backward))


def test_adapters_cost_by_the_modules_they_are_on():
    few = compute.adapters(case("lora", targets=("q_proj", "v_proj")))
    many = compute.adapters(case("lora"))
    assert 0 < few.seconds < many.seconds / 3
    assert compute.adapters(case("full")).seconds == 0


def test_dequantisation_is_paid_in_every_pass_over_the_weights():
    thrice = compute.dequantisation(case("qlora"))
    twice = compute.dequantisation(case("qlora", activation_checkpointing=False))
    assert thrice.seconds == pytest.approx(1.5 * twice.seconds)
    per_pass = thrice.seconds / 3 / (case("qlora").counts.quantized / 1e9)
    assert 0.0021 < per_pass < 0.0035  # 2.1 ms per 1e9 weights measured on RTX 4090, 2.5 planned
    assert compute.dequantisation(case("lora")).seconds == 0


def test_a_chunked_loss_computes_once_more_and_moves_fewer_logits():
    chunked, full = (compute.head_and_loss(case("lora", loss=loss)).formula for loss in ("chunked", "full"))
    work = 2 * case().counts.head * 2048 / 1e12
    assert chunked == f"{3 * work:.2f}e12 operations, {12 * 32000 * 2048 / 1e9:.2f} GB of logits"
    assert full == f"{2 * work:.2f}e12 operations, {30 * 32000 * 2048 / 1e9:.2f} GB of logits"


def test_only_short_passes_wait_for_the_cpu():
    assert compute.launching(case("lora", max_seq_length=128), busy=0.05).seconds > 0
    assert compute.launching(case("lora"), busy=10.0).seconds == 0
    assert compute.kernels(case("qlora")) > compute.kernels(case("lora")) > compute.kernels(case("full"))
    assert compute.kernels(case(habits=Habits(launches=0.5))) == 0.5 * compute.kernels(case())


def test_passes_multiply():
    one, four = compute.matrix_products(case()), compute.matrix_products(case(accumulate=4))
    assert four.seconds == pytest.approx(4 * one.seconds)
    assert four.low < four.seconds < four.high


def test_float32_runs_without_tensor_cores():
    """GeForce has half the rate in 32 bits, A100 a sixteenth; torch uses no TF32 unless it is asked to."""
    bf16, fp32 = case(precision="bf16"), case(precision="fp32")
    assert compute.matrix_products(fp32).seconds > 1.9 * compute.matrix_products(bf16).seconds
    assert fp32.products.value == pytest.approx(bf16.products.value / 2)
