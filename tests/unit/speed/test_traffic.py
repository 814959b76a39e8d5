import pytest
from speed_jobs import NVLINK, case

from tunekit.speed import traffic
from tunekit.speed.habits import Habits
from tunekit.speed.terms import SpeedTerm


def test_only_stage_3_gathers_and_only_over_several_ranks():
    for stage in (0, 1, 2):
        assert traffic.gathers(case(zero={"stage": stage})).high == 0
    assert traffic.gathers(case(zero={"stage": 3}, ranks=1)).high == 0
    assert traffic.gathers(case(zero={"stage": 3})).seconds > 0


def test_a_gather_is_half_of_the_weights_twice_on_two_cards():
    asked = case("lora", zero={"stage": 3})
    size = 2 * 2 * asked.counts.everything / 2
    assert traffic.gathers(asked).seconds == pytest.approx(size / asked.rates.collective.value)
    kept = case("lora", zero={"stage": 3}, habits=Habits(keeps_gathered=True))
    assert traffic.gathers(kept).seconds == pytest.approx(size / 2 / asked.rates.collective.value)


def test_a_4_bit_base_travels_packed():
    packed, plain = (traffic.weights_on_the_wire(case(method)) for method in ("qlora", "lora"))
    assert packed < 0.35 * plain


def test_computation_hides_a_share_and_never_more_than_itself():
    asked = case("lora", zero={"stage": 3})
    whole = traffic.gathers(asked)

    def waits(computing: float, *transfers: SpeedTerm) -> float:
        return sum(
            term.seconds for term in traffic.exposed([(each, asked.rates.overlap) for each in transfers], computing)
        )

    assert waits(1000.0, whole) == pytest.approx((1 - asked.rates.overlap.value) * whole.seconds)
    assert waits(0.0, whole) == pytest.approx(whole.seconds)
    assert waits(0.1, whole) == pytest.approx(whole.seconds - traffic.HIDING * 0.1)
    # Two transfers hide behind the same computation once.
    assert waits(0.1, whole, whole) == pytest.approx(2 * whole.seconds - traffic.HIDING * 0.1)


def test_the_band_of_a_transfer_is_that_of_the_overlap_too():
    asked = case("lora", zero={"stage": 3})
    (found,) = traffic.exposed([(traffic.gathers(asked), asked.rates.overlap)], 1000.0)
    assert found.low == 0.0
    assert found.low < found.seconds < found.high == traffic.gathers(asked).high


def test_reductions_once_a_step_or_every_pass():
    def whole(stage: int) -> float:
        return traffic.reductions(case(zero={"stage": stage}, accumulate=4)).seconds

    assert whole(2) == pytest.approx(whole(3)) == pytest.approx(4 * whole(1)) == pytest.approx(2 * whole(0))
    assert traffic.reductions(case(ranks=1)).high == 0


def test_nvlink_is_faster_than_pcie():
    slow, fast = (traffic.gathers(case("lora", zero={"stage": 3}, link=link)) for link in (None, NVLINK))
    assert fast.seconds < slow.seconds / 10


def test_streamed_weights_come_from_ram_for_every_pass():
    zero = {"stage": 3, "offload_param": "cpu"}
    asked = case("lora", zero=zero, ranks=1)
    size = 2 * traffic.weights_on_the_wire(asked)
    assert traffic.streaming(asked).seconds == pytest.approx(size / asked.rates.to_gpu.value)
    assert traffic.streaming(case("lora", zero={"stage": 3})).high == 0


def test_gradients_are_added_up_in_ram_over_the_cards():
    zero = {"stage": 2, "offload_optimizer": "cpu"}
    assert traffic.gradients_to_ram(case(zero=zero)).high == 0
    several = case(zero=zero, accumulate=4)
    size = 4 * 2 * 2 * several.counts.trained / 2
    assert traffic.gradients_to_ram(several).seconds == pytest.approx(size / several.rates.from_gpu.value)
    assert traffic.gradients_to_ram(case(zero={**zero, "stage": 3})).seconds > 0
    # Stage 1 adds them up on the card and sends them once, which the step counts.
    assert traffic.gradients_to_ram(case(zero={**zero, "stage": 1}, accumulate=4)).high == 0


def test_weights_on_a_drive_come_at_the_share_of_it_that_a_card_has():
    ram = traffic.streaming(case(zero={"stage": 3, "offload_param": "cpu"}))
    drive = traffic.streaming(case(zero={"stage": 3, "offload_param": "nvme"}))
    assert (ram.name, drive.name) == ("weights from RAM", "weights from NVMe")
    assert drive.seconds > ram.seconds
    rates = case().rates
    assert drive.seconds == pytest.approx(ram.seconds * rates.to_gpu.value / (rates.nvme_read.value / 2))
