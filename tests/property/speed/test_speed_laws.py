"""Laws that every estimate of speed keeps, whatever the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from memory_jobs import job
from speed_jobs import NVLINK, PCIE_X8, box, seven

from tunekit.hardware.gpu_table import known_gpus
from tunekit.hardware.spec import Gpu, Hardware, Link
from tunekit.recipe.job import Job
from tunekit.speed.estimate import estimate_speed
from tunekit.speed.run import run_cost
from tunekit.speed.terms import SpeedEstimate

NOISE = 1 + 1e-9


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    stage = draw(st.integers(0, 3))
    places = ["none", "cpu"]
    zero: dict[str, Any] = {
        "stage": stage,
        "offload_optimizer": draw(st.sampled_from([*places, "nvme"] if stage == 3 else places)) if stage else "none",
        "offload_param": draw(st.sampled_from(places)) if stage == 3 else "none",
        "offload_ratio": draw(st.sampled_from([1.0, 0.4])) if stage == 3 else 1.0,
        "bf16_states": draw(st.booleans()),
    }
    return job(
        draw(st.sampled_from(["full", "lora", "qlora"])),
        zero=zero,
        ranks=draw(st.sampled_from([1, 2, 4])),
        micro=draw(st.sampled_from([1, 2, 8])),
        accumulate=draw(st.sampled_from([1, 4, 16])),
        packing=draw(st.booleans()),
        attention=draw(st.sampled_from(["eager", "sdpa", "flash_attention_2"])),
        max_seq_length=draw(st.sampled_from([128, 2048, 16384])),
        activation_checkpointing=draw(st.booleans()),
        loss=draw(st.sampled_from(["chunked", "full"])),
        num_workers=draw(st.sampled_from([0, 2])),
    )


def links() -> st.SearchStrategy[Link]:
    return st.builds(
        Link,
        pcie_generation=st.integers(3, 5),
        pcie_lanes=st.sampled_from([4, 8, 16]),
        nvlink=st.just(False),
        p2p=st.booleans(),
    )


def of(asked: Job, machine: Hardware) -> SpeedEstimate:
    found = estimate_speed(asked, seven(), machine)
    assert found is not None
    return found


@given(asked=jobs(), link=links())
def test_a_faster_link_never_makes_a_plan_slower(asked: Job, link: Link) -> None:
    cards = asked.batch.world_size
    now = of(asked, box(cards, link)).step_seconds
    faster = [
        replace(link, pcie_lanes=2 * link.pcie_lanes),
        replace(link, pcie_generation=link.pcie_generation + 1),
        replace(link, p2p=True),
        replace(NVLINK, pcie_generation=link.pcie_generation, pcie_lanes=link.pcie_lanes),
    ]
    for better in faster:
        then = of(asked, box(cards, better)).step_seconds
        assert then.expected <= now.expected * NOISE
        assert then.high <= now.high * NOISE


@given(asked=jobs(), cores=st.integers(1, 64), more=st.integers(1, 64))
def test_more_cores_and_faster_ram_never_make_a_plan_slower(asked: Job, cores: int, more: int) -> None:
    now = of(asked, box(asked.batch.world_size, cores=cores)).step_seconds.expected
    assert of(asked, box(asked.batch.world_size, cores=cores + more)).step_seconds.expected <= now * NOISE
    faster = box(asked.batch.world_size, cores=cores, ram_bandwidth=(80 + more) * 10**9)
    assert of(asked, faster).step_seconds.expected <= now * NOISE


@given(asked=jobs(), link=links(), ram=st.integers(2, 300), more=st.integers(1, 100))
def test_more_ram_bandwidth_never_makes_a_plan_slower(asked: Job, link: Link, ram: int, more: int) -> None:
    now, then = (
        of(asked, box(asked.batch.world_size, link, ram_bandwidth=each * 10**9)).step_seconds
        for each in (ram, ram + more)
    )
    assert then.expected <= now.expected * NOISE
    assert then.high <= now.high * NOISE
    assert then.low <= now.low * NOISE


@given(asked=jobs())
def test_a_faster_card_never_makes_a_plan_slower(asked: Job) -> None:
    plain = box(asked.batch.world_size)
    card = plain.gpus[0]
    for better in (replace(card, bf16_tflops=150.0), replace(card, memory_bandwidth=900 * 10**9)):
        slower = replace(plain, gpus=(better,) * len(plain.gpus))
        assert of(asked, plain).step_seconds.expected <= of(asked, slower).step_seconds.expected * NOISE


CARDS = sorted(known_gpus())


@example(asked=job("lora"), name="rtx_4090", watts=410, more=10)
@given(asked=jobs(), name=st.sampled_from(CARDS), watts=st.integers(50, 900), more=st.integers(1, 20))
def test_more_watts_never_make_a_plan_slower_and_few_make_no_leap(asked: Job, name: str, watts: int, more: int) -> None:
    card = known_gpus()[name].gpu
    now, then = (
        of(asked, with_card(asked, replace(card, power_watts=limit))).step_seconds for limit in (watts, watts + more)
    )
    assert then.expected <= now.expected * NOISE
    assert then.high <= now.high * NOISE
    # Never worse than the square of the share that steep limits cost.
    assert then.expected >= now.expected * (watts / (watts + more)) ** 2.3


@example(asked=job("lora"), name="rtx_4090", peak=165.2, more=1.2)
@given(
    asked=jobs(),
    name=st.sampled_from([*CARDS, "a card of nobody's"]),
    peak=st.floats(20, 1000),
    more=st.floats(1.01, 3),
)
def test_a_higher_peak_never_makes_a_plan_slower(asked: Job, name: str, peak: float, more: float) -> None:
    known = known_gpus().get(name)
    card = known.gpu if known else replace(known_gpus()["rtx_a5000"].gpu, name=name)
    now, then = (
        of(asked, with_card(asked, replace(card, bf16_tflops=tflops))).step_seconds for tflops in (peak, peak * more)
    )
    assert then.expected <= now.expected * NOISE
    assert then.high <= now.high * NOISE


def with_card(asked: Job, card: Gpu) -> Hardware:
    plain = box(asked.batch.world_size)
    return replace(plain, gpus=(card,) * len(plain.gpus))


@given(asked=jobs())
def test_bands_hold_and_terms_add_up(asked: Job) -> None:
    found = of(asked, box(asked.batch.world_size, PCIE_X8))
    assert found.step_seconds.low <= found.step_seconds.expected <= found.step_seconds.high
    assert found.tokens_per_second.low <= found.tokens_per_second.expected <= found.tokens_per_second.high
    assert found.step_seconds.low == pytest.approx(sum(term.low for term in found.terms))
    assert found.step_seconds.high == pytest.approx(sum(term.high for term in found.terms))
    assert all(0 <= term.low <= term.seconds * NOISE and term.seconds <= term.high * NOISE for term in found.terms)


@given(asked=jobs(), steps=st.integers(1, 10_000))
def test_tokens_a_second_times_seconds_are_the_tokens(asked: Job, steps: int) -> None:
    """The fast end of one is that of the other; hours and kWh are the same arithmetic."""
    machine = box(asked.batch.world_size)
    found = of(asked, machine)
    rate, seconds = found.tokens_per_second, found.step_seconds
    ends = ((rate.low, seconds.high), (rate.expected, seconds.expected), (rate.high, seconds.low))
    for tokens, each in ends:
        assert tokens * each == pytest.approx(found.tokens_per_step)
    hours = run_cost(found, steps, machine).hours
    tokens_of_run = steps * found.tokens_per_step
    assert hours.high == pytest.approx(tokens_of_run / rate.low / 3600)
    assert hours.expected == pytest.approx(tokens_of_run / rate.expected / 3600)
    assert hours.low == pytest.approx(tokens_of_run / rate.high / 3600)


@given(asked=jobs())
def test_accumulation_amortises(asked: Job) -> None:
    """Twice the passes never take more than twice the step."""
    batch = replace(asked.batch, gradient_accumulation_steps=2 * asked.batch.gradient_accumulation_steps)
    machine = box(asked.batch.world_size)
    if asked.batch.gradient_accumulation_steps == 1 and asked.zero.offload_optimizer != "none":
        return  # A single pass needs no gradients kept in RAM.
    once, twice = of(asked, machine), of(replace(asked, batch=batch), machine)
    assert twice.step_seconds.expected <= 2 * once.step_seconds.expected * NOISE
