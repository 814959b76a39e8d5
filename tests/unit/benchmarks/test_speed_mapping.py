"""A row of speeds becomes a job on its machine, or is listed with the reason; no cell is fatal."""

from __future__ import annotations

import pytest
from accuracy.setting import Unmapped
from speed_rows import SPEED_ROW
from throughput.mapping import map_row
from throughput.rows import SpeedRow
from throughput.setting import Setting


def mapped(**cells: str) -> Setting:
    found = map_row(SpeedRow(cells=SPEED_ROW | cells))
    assert isinstance(found, Setting), found
    return found


def reason(**cells: str) -> str:
    found = map_row(SpeedRow(cells=SPEED_ROW | cells))
    assert isinstance(found, Unmapped)
    return found.reason


def test_a_row_says_all_of_its_job():
    found = mapped()
    assert found.group == "AnswerDotAI/fsdp_qlora"
    assert found.measured == 4660.3
    assert found.tokens == 2 * 8 * 2048
    job = found.job
    assert (job.method, job.zero.stage, job.batch.micro_batch_size, job.activation_checkpointing) == (
        "qlora",
        0,
        8,
        True,
    )
    assert job.adapter is not None
    assert (job.adapter.rank, job.adapter.dropout) == (64, 0.1)
    assert "o_proj" not in job.adapter.target_modules
    assert 24e9 < found.rates.to_gpu.value < 25.5e9


def test_a_row_under_a_power_limit_is_of_a_slower_card() -> None:
    limited = mapped(notes="300 W limit; derived").rates.matmul.value / mapped().rates.matmul.value
    assert 0.9 < limited < 0.95


def test_sharding_and_offload():
    assert mapped(sharding="FSDP full shard").job.zero.stage == 3
    offloaded = mapped(sharding="FSDP full shard", offload_param="cpu").job.zero
    assert (offloaded.stage, offloaded.offload_param) == (3, "cpu")
    assert mapped(sharding="FULL_SHARD", method="full", quant="", framework="llm-foundry").job.zero.stage == 3


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"category": "bandwidth"}, "no training run"),
        ({"framework": "RoundPipe"}, "a system of its own"),
        ({"model": "acme/unknown"}, "the model acme/unknown is not known"),
        ({"gpu": "TPU"}, "the card TPU is not known"),
        ({"method": "boft-default"}, "method boft-default is not modelled"),
        ({"seq_len": ""}, "the length of rows is not given"),
        ({"micro_batch": ""}, "the micro-batch is not given"),
        ({"n_gpus": ""}, "the number of cards is not given"),
        ({"sharding": ""}, "how several cards share the work is not given"),
        ({"sharding": "TP2 x FSDP4"}, "tensor parallelism is not modelled"),
        ({"precision": "amp_fp8"}, "8-bit products are not modelled"),
        ({"value": "OOM", "tokens_per_s_total": ""}, "it ran out of memory"),
        ({"value": "2.5", "unit": "samples/s", "tokens_per_s_total": ""}, "samples were cut"),
        ({"value": "47", "unit": "min", "metric": "1 epoch", "tokens_per_s_total": ""}, "the tokens behind '1 epoch'"),
    ],
)
def test_what_cannot_be_mapped_says_why(cells: dict[str, str], told: str):
    assert told in reason(**cells)


def test_figures_in_other_units():
    per_card = mapped(tokens_per_s_total="", value="1000", unit="tok/s/GPU")
    assert per_card.measured == 2000
    step = mapped(tokens_per_s_total="", value="2", unit="s", metric="step time")
    assert step.measured == step.tokens / 2


def test_the_average_row_is_what_the_source_counted():
    found = mapped(
        method="lora-rank32", framework="PEFT 0.19", quant="", n_gpus="1", micro_batch="4", seq_len="768 max",
        metric="train time, 5000 steps", notes="train tokens 4198051", tokens_per_s_total="4456.7",
    )  # fmt: skip
    assert found.job.max_seq_length == 209
    assert found.outside > 0


@pytest.mark.parametrize("junk", ["", "?", "-1", "1e99", "nan", "0", "ß", "x16 x8"])
def test_no_cell_is_fatal(junk: str):
    for key in SPEED_ROW:
        found = map_row(SpeedRow(cells=SPEED_ROW | {key: junk}))
        assert isinstance(found, (Setting, Unmapped)), key
    assert isinstance(map_row(SpeedRow(cells={})), Unmapped)
