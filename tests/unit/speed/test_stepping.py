import pytest
from speed_jobs import case

from tunekit.speed import stepping

OFFLOADED = {"stage": 3, "offload_optimizer": "cpu"}


def test_the_cpu_steps_all_ranks_together():
    two, four = (stepping.optimizer_on_cpu(case(zero=OFFLOADED, ranks=ranks)).seconds for ranks in (2, 4))
    assert two == four
    asked = case(zero=OFFLOADED)
    assert two == pytest.approx(asked.counts.trained / asked.rates.adam_fp32.value)
    assert stepping.optimizer_on_cpu(case()).high == 0


def test_bf16_states_step_faster():
    bf16 = stepping.optimizer_on_cpu(case(zero={**OFFLOADED, "bf16_states": True})).seconds
    assert bf16 < 0.6 * stepping.optimizer_on_cpu(case(zero=OFFLOADED)).seconds


def test_a_share_stays_on_the_card():
    part = case(zero={**OFFLOADED, "offload_ratio": 0.25})
    whole = case(zero=OFFLOADED)
    assert stepping.optimizer_on_cpu(part).seconds == pytest.approx(0.25 * stepping.optimizer_on_cpu(whole).seconds)
    assert stepping.optimizer_on_card(part).seconds > stepping.optimizer_on_card(whole).seconds == 0


def test_a_card_steps_its_share():
    whole, shared = (stepping.optimizer_on_card(case(zero={"stage": stage})).seconds for stage in (0, 2))
    assert whole == pytest.approx(2 * shared)
    assert stepping.optimizer_on_card(case(optimizer="adamw_8bit")).seconds < shared


def test_the_boundary_is_paid_once_however_many_passes():
    for make in (stepping.optimizer_on_cpu, stepping.to_and_from_ram, stepping.around_the_step):
        assert make(case(zero=OFFLOADED)).seconds == make(case(zero=OFFLOADED, accumulate=8)).seconds > 0


def test_stages_1_and_2_gather_new_weights():
    found = {stage: stepping.new_weights(case(zero={"stage": stage})).seconds for stage in (0, 1, 2, 3)}
    assert found[0] == found[3] == 0
    assert found[1] == found[2] > 0


def test_nvme_states_are_read_and_written():
    """facts: 7B moves 108 GB each way with fp32 states."""
    read, written = stepping.nvme_traffic(case(zero={"stage": 3, "offload_optimizer": "nvme"}))
    assert read == written == pytest.approx(108e9, rel=0.01)
    half = stepping.nvme_traffic(case(zero={"stage": 3, "offload_optimizer": "nvme", "bf16_states": True}))
    assert half == (read / 2, pytest.approx(0.375 * written))
    assert stepping.nvme_traffic(case()) == (0.0, 0.0)
    terms = stepping.swapping(case(zero={"stage": 3, "offload_optimizer": "nvme"}))
    assert [round(term.seconds) for term in terms] == [round(read / 7e9), round(written / 6e9)]


def test_worker_processes_make_the_batches():
    assert stepping.data_loading(case(num_workers=2)).high == 0
    packed, padded = (stepping.data_loading(case(packing=packing)).seconds for packing in (True, False))
    assert packed > padded > 0


def test_trained_weights_on_a_drive_are_written_anew_by_every_step():
    there = stepping.nvme_traffic(case(zero={"stage": 3, "offload_param": "nvme"}))
    assert there == (0.0, 2 * case().counts.trained)
    both = stepping.nvme_traffic(case(zero={"stage": 3, "offload_param": "nvme", "offload_optimizer": "nvme"}))
    assert both[1] == pytest.approx(18 * case().counts.trained)
