"""Rows of a table of measurements become jobs; what cannot be mapped says why, and no cell can break the reading."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from accuracy.mapping import map_row
from accuracy.rows import Row, read_rows
from accuracy.setting import Setting, Unmapped
from measurement_rows import ROW


def mapped(**cells: str) -> Setting:
    found = map_row(Row(cells=ROW | cells))
    assert isinstance(found, Setting), found
    return found


def reason(**cells: str) -> str:
    found = map_row(Row(cells=ROW | cells))
    assert isinstance(found, Unmapped), found
    return found.reason


def test_a_whole_row():
    found = mapped()
    assert (found.group, found.engine, found.reading, found.ran) == ("FMSPK", "plain", "allocated", True)
    assert found.job.tokens_per_device == 4 * 4096
    assert found.job.adapter is not None
    assert found.job.adapter.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert found.states.base == "nf4"
    assert found.measured_bytes == 16373838336


def test_bases():
    assert mapped(quant="gptq 4-bit", base_weight_dtype="gptq 4-bit").states.base == "gptq"
    assert mapped(quant="bnb 8-bit", base_weight_dtype="int8").states.base == "int8"
    assert mapped(method="lora", quant="", base_weight_dtype="bf16").states.base == "plain"


def test_engines():
    assert mapped(parallelism="FSDP FULL_SHARD", n_gpus="2").engine == "fsdp"
    assert mapped(parallelism="FSDP in no-shard (ddp) mode", n_gpus="2").engine == "ddp"
    sharded = mapped(parallelism="deepspeed", zero_stage="3", n_gpus="2")
    assert (sharded.engine, sharded.job.zero.stage) == ("deepspeed", 3)
    assert "ZeRO stage" in reason(parallelism="deepspeed", zero_stage="", n_gpus="2")
    assert "several GPUs" in reason(parallelism="", n_gpus="4")


def test_fsdp_with_a_frozen_base_keeps_gradients_of_layer_inputs():
    assert mapped(parallelism="FSDP FULL_SHARD", n_gpus="2").practice.layer_input_gradients
    assert not mapped(parallelism="FSDP FULL_SHARD", n_gpus="2", method="full").practice.layer_input_gradients


def test_logits_by_the_version_in_use():
    assert mapped().practice.logit_bytes == 14
    assert mapped(published="2024-10-18").practice.logit_bytes == 12
    assert mapped(kernels="foak fused CE/RMSNorm/RoPE").practice.logit_bytes == 10


def test_a_fused_linear_loss_has_no_logits():
    assert mapped(kernels="liger").job.loss == "chunked"
    assert mapped().job.loss == "full"


def test_readings_and_units():
    assert mapped(mem_metric="nvidia-smi memory.used").reading == "device"
    assert mapped(mem_metric="torch max_memory_reserved").reading == "reserved"
    assert mapped(phase="steady_allocated").reading == "steady"
    assert mapped(unit_base="2^20", gpu_mem_value="1,024").measured_bytes == 2**30
    assert mapped(unit_base="unknown", gpu_mem_unit="GB", gpu_mem_value="about 2").measured_bytes == 2 * 2**30
    assert mapped(gpu_mem_scope="looks like the sum over all GPUs", parallelism="FSDP", n_gpus="2").measured_bytes == (
        16373838336 // 2
    )


def test_a_run_that_failed_is_held_against_the_verdict_only():
    failed = mapped(outcome="oom", gpu_mem_value="")
    assert failed.reading == "none"
    assert failed.ran is False
    assert mapped(gpu_mem_gb="").ran is None


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"model": "acme/never-seen-3b"}, "never-seen-3b is not known"),
        ({"seq_len": ""}, "length of rows"),
        ({"micro_batch": ""}, "batch is not given"),
        ({"phase": "component"}, "single operator"),
        ({"method": "galore"}, "method galore"),
        ({"method": "full dpo"}, "not supervised"),
        ({"lora_targets": "nothing_here"}, "no module"),
        ({"quant": "AWQ int4"}, "not modelled"),
    ],
)
def test_reasons(cells: dict[str, str], said: str):
    assert said in reason(**cells)


@pytest.mark.parametrize("key", sorted(ROW))
@pytest.mark.parametrize("cell", ["", "?", "nan", "-7", "1e400", "{}", "a,b;c\n", "0", "999999999999999999999"])
def test_no_cell_breaks_the_mapping(key: str, cell: str):
    assert isinstance(map_row(Row(cells=ROW | {key: cell})), (Setting, Unmapped))


def test_models_by_the_names_that_other_programs_have_for_them():
    for name, layers in (("deepseek-67b-chat", 95), ("mixtral-moe-7b", 32), ("internlm2-20b", 48), ("phi2-3b", 32)):
        assert mapped(model=name, method="full", quant="").shape.num_layers == layers


def test_missing_columns_are_empty_cells():
    assert isinstance(map_row(Row(cells={"row_id": "X-1"})), Unmapped)


def test_rows_are_read_from_a_file(tmp_path: Path):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(ROW))
        writer.writeheader()
        writer.writerow(ROW)
        writer.writerow(ROW | {"row_id": "NEW-SOURCE-2", "model": "acme/x"})
    first, second = (map_row(row) for row in read_rows(path))
    assert isinstance(first, Setting)
    assert isinstance(second, Unmapped)
    assert second.group == "NEW-SOURCE"
