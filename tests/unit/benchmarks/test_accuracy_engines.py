"""Model states of programs without DeepSpeed: what FSDP 2 gathers and reduces, and states of unlike widths."""

from __future__ import annotations

from dataclasses import replace

from accuracy.engines import engine_terms
from accuracy.mapping import map_row
from accuracy.rows import Row
from accuracy.setting import Engine, Setting, States
from measurement_rows import ROW

from tunekit.memory.case import make_case
from tunekit.memory.terms import MemoryTerm


def terms(engine: Engine, states: States, **cells: str) -> dict[str, MemoryTerm]:
    row = ROW | {"parallelism": "FSDP FULL_SHARD", "n_gpus": "2", "method": "full", "quant": ""} | cells
    found = map_row(Row(cells=row))
    assert isinstance(found, Setting), found
    case = make_case(found.job, found.shape, found.hardware, found.practice)
    return {term.name: term for term in engine_terms(case, engine, states)}


def test_fsdp_2_gathers_the_next_layer_and_reduces_in_the_stored_type():
    one, two = terms("fsdp", States(trained_bytes=4)), terms("fsdp2", States(trained_bytes=4))
    assert two["layer gathered"].device_bytes == 2 * one["layer gathered"].device_bytes
    assert "gradients being reduced" in two
    assert "gradients being reduced" not in one


def test_one_rank_copies_only_what_is_stored_wider():
    assert "layer gathered" in terms("fsdp2", States(trained_bytes=4), n_gpus="1")
    assert "layer gathered" not in terms("fsdp2", States(trained_bytes=2), n_gpus="1")


def test_ends_that_are_sharded_apart_are_whole_only_at_the_loss():
    apart = terms("fsdp2", States(ends_apart=True))
    assert "outer unit gathered" not in apart
    assert apart["head gathered"].moments == ("loss",)


def test_matrices_stored_in_8_bits_have_gradients_in_16():
    wide, narrow = terms("plain", States()), terms("plain", States(stored_bytes=1))
    saved = wide["trained weights"].device_bytes - narrow["trained weights"].device_bytes
    assert 0.4 * wide["trained weights"].device_bytes < saved < 0.5 * wide["trained weights"].device_bytes
    assert wide["gradients"].device_bytes == narrow["gradients"].device_bytes


def test_moments_of_their_own_width():
    plain, narrow = terms("plain", States()), terms("plain", replace(States(), moment_bytes=1.0))
    assert plain["optimizer states"].device_bytes == 4 * narrow["optimizer states"].device_bytes


def test_autocast_keeps_narrow_copies_of_wide_matrices():
    wide = terms("plain", States(trained_bytes=4))
    assert 0 < wide["cast weights"].device_bytes < wide["trained weights"].device_bytes / 2
    assert "cast weights" not in terms("plain", States(trained_bytes=2))
    assert "cast weights" not in terms("fsdp", States(trained_bytes=4))


def test_weights_in_ram_pass_through_the_device_part_by_part():
    states = States(trained_bytes=4, weights_in_ram=True, optimizer_in_ram=True)
    found = terms("fsdp2", states)
    layer = found["layer gathered"].device_bytes // 2
    assert found["shards brought from RAM"].device_bytes == 6 * (layer // 2) // 2
    assert found["reduced gradients taken to RAM"].device_bytes == 4 * (layer // 2) // 2
    assert "shards brought from RAM" not in terms("fsdp", states)
    assert "trained weights" not in found


def test_a_frozen_base_in_float32_is_cast_too():
    lora = {"method": "lora", "base_weight_dtype": "bf16"}
    cast = terms("plain", States(frozen_upcast=True), **lora)["cast weights"].device_bytes
    assert 0.4 < cast / terms("plain", States(frozen_upcast=True), **lora)["frozen base"].device_bytes < 0.5
    assert "cast weights" not in terms("plain", States(trained_bytes=4), **lora)
