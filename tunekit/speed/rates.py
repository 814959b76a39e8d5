"""`Rates`: how fast a machine's parts are, each with its band and its source; what was measured replaces the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from tunekit.hardware.spec import LANE_RATE, Gpu, Hardware, Host, Link, Measured
from tunekit.speed.cards import clock_share, fp32_share, large_products
from tunekit.units import GB

TERA = 1e12
MEASURED_BAND = 0.05
"""A probe is short and the card is cool: what it measures holds within this share over a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A rate, or seconds of one event, with its band: low <= value <= high."""

    value: float
    low: float
    high: float
    source: str
    measured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Everything the terms divide by. Replace any of them with `dataclasses.replace`."""

    matmul: Rate
    """16-bit matrix products of training's shapes on one card, operations per second."""
    fp32: Rate
    """The same in 32 bits: no tensor cores, as torch has it without TF32."""
    attention: Rate
    """Flash attention, forward and backward together, operations per second of the lower triangle."""
    memory: Rate
    """Bytes per second that kernels without matrix products move on a card."""
    launch: Rate
    """Seconds a process needs to issue one kernel from Python through autograd."""
    to_gpu: Rate
    """Pinned RAM to a card while all cards do the same, bytes per second."""
    from_gpu: Rate
    collective: Rate
    """Bytes per second that a rank receives in an all-gather or gives in a reduce-scatter."""
    overlap: Rate
    """Share of a collective that may run behind computation, 0 to 1."""
    copy_overlap: Rate
    """The same of copies between RAM and a card."""
    adam_fp32: Rate
    """Parameters per second of the CPU's Adam, all ranks together, fp32 states."""
    adam_bf16: Rate
    nvme_read: Rate
    nvme_write: Rate
    step: Rate
    """Seconds of the trainer around an optimizer step: gradient norm, scheduler, callbacks."""
    row: Rate
    """Seconds to make tensors of one token of padded rows, in the training process."""
    packed_row: Rate
    """The same of packed rows, which are joined and numbered anew."""


@lru_cache(maxsize=256)
def rates_of(hardware: Hardware) -> Rates:
    """The rates of a machine with GPUs: measured where it was probed, else derived from its data sheets.

    Of unequal cards the slowest at each: every step waits for it.
    """
    cards = tuple(dict.fromkeys(hardware.gpus))
    measured = hardware.measured or Measured(date="")
    slot = _given(measured.to_gpu_rate) or _pinned(hardware.link)
    return Rates(
        matmul=_slowest(_matmul(card, measured) for card in cards),
        fp32=_slowest(_fp32(card, measured) for card in cards),
        attention=_slowest(_attention(card) for card in cards),
        memory=_slowest(_memory(card) for card in cards),
        launch=LAUNCH,
        to_gpu=_through_ram(slot, hardware, crossings=1),
        from_gpu=_through_ram(_given(measured.from_gpu_rate) or slot, hardware, crossings=1),
        collective=_given(measured.all_gather_rate) or _collective(hardware, slot),
        overlap=_overlap(hardware.link, slot),
        copy_overlap=_overlap(None, slot),
        adam_fp32=adam_rate(hardware, bf16=False),
        adam_bf16=adam_rate(hardware, bf16=True),
        nvme_read=_drive(hardware, "read_rate"),
        nvme_write=_drive(hardware, "write_rate"),
        step=STEP,
        row=ROW,
        packed_row=PACKED_ROW,
    )


LAUNCH = Rate(
    value=18e-6,
    low=10e-6,
    high=26e-6,
    source="eager transformers modules issue 50,000 to 100,000 kernels a second; published runs of short rows",
)
STEP = Rate(value=0.010, low=0.003, high=0.040, source="transformers Trainer around an optimizer step")
_COLLATOR = "TRL 1.16's collator and rows from Arrow, timed on two cores of a shared machine"
ROW = Rate(value=0.58e-6, low=0.25e-6, high=0.8e-6, source=_COLLATOR)
PACKED_ROW = Rate(value=1.5e-6, low=0.6e-6, high=2.0e-6, source=_COLLATOR)
ADAM_FP32_BYTES = 42
ADAM_BF16_BYTES = 22
"""Bytes moved per parameter by DeepSpeed's CPU Adam with unscaling, clipping and the copy to 16 bits."""
ADAM_RAM_SHARE = 0.78
"""Of what programs reach: 1.0e9 parameters per second seen on desktops of 55 GB/s."""
ADAM_PER_CORE = 0.2e9
"""Parameters per second and core: 0.34e9 measured on two virtual CPUs."""


def _spread(value: float, low: float, high: float, source: str) -> Rate:
    return Rate(value=value, low=value * low, high=value * high, source=source)


def _slowest(rates: Iterable[Rate]) -> Rate:
    return min(rates, key=lambda rate: rate.value)


def _given(value: float | None) -> Rate | None:
    if not value:
        return None
    low, high = value * (1 - MEASURED_BAND), value * (1 + MEASURED_BAND)
    return Rate(value=value, low=low, high=high, source="measured on this machine", measured=True)


def _matmul(gpu: Gpu, measured: Measured) -> Rate:
    """Large products reach a share of the peak; the shapes and clocks of a training step take off some of it."""
    if measured.matmul_tflops:
        source = f"{SHAPES:.0%} of the large products measured on this machine"
        value = SHAPES * TERA * measured.matmul_tflops
        return Rate(value=value, low=0.9 * value, high=1.06 * value, source=source, measured=True)
    share, source = large_products(gpu)
    value = SHAPES * share * TERA * gpu.bf16_tflops
    return Rate(value=value, low=0.87 * value, high=1.1 * value, source=f"{share:.0%} of the peak ({source})")


SHAPES = 0.95
"""Of the rate of large products, what those of a layer reach; settled on published runs."""


def _fp32(gpu: Gpu, measured: Measured) -> Rate:
    """Plain 32-bit units: torch uses no TF32 unasked."""
    return _spread(fp32_share(gpu) * _matmul(gpu, measured).value, 0.8, 1.2, "32-bit units of the data sheet")


def _memory(gpu: Gpu) -> Rate:
    return _spread(0.85 * gpu.memory_bandwidth, 0.9, 1.1, "85 % of the data sheet, as copy kernels reach")


def _attention(gpu: Gpu) -> Rate:
    """FlashAttention-2 paper (2307.08691), figures 5 and 6: forward and backward, causal, heads of 128."""
    if gpu.compute_capability == 8.0:
        share, source = 0.55, "FlashAttention-2 paper: 160 to 190 of 312 on A100"
    elif gpu.compute_capability >= 9.0 and gpu.compute_capability < 10.0:
        share, source = 0.30, "FlashAttention-2 paper: 280 to 335 of 989 on H100"
    else:
        share, source = 0.60, "a 7B run of 24,576 tokens on RTX 4090"
    return _spread(clock_share(gpu) * share * TERA * gpu.bf16_tflops, 0.75, 1.25, source)


PINNED_SHARE = 0.79
"""Of PCIe's rate: 24 to 25 GB/s measured on 4.0 x16, 12 to 13 on x8."""


def _pinned(link: Link | None) -> Rate:
    lanes = link.pcie_lanes if link else 16
    generation = link.pcie_generation if link else 4
    value = PINNED_SHARE * lanes * GB * LANE_RATE.get(generation, LANE_RATE[4])
    return _spread(value, 0.85, 1.05, f"PCIe {generation}.0 x{lanes}: {PINNED_SHARE:.0%} of it, pinned")


RAM_LOW = 0.8
"""Of what RAM gives to programs, what is left for copies where the CPU works too."""


def _through_ram(rate: Rate, hardware: Hardware, *, crossings: int) -> Rate:
    """A card's rate while all cards copy at once: together they move no more than RAM does (a physical bound).

    `crossings`: a pinned copy reads or writes RAM once, a byte between cards without peer access is written and read.
    """
    if rate.measured:
        return rate  # with all cards at once
    cards, ram = len(hardware.gpus), hardware.host.ram_bandwidth
    most = ram / (cards * crossings)
    bound = rate
    if rate.value > most:
        moved = ", each byte written and read" if crossings > 1 else ""
        source = f"RAM is the limit: {ram / GB:.0f} GB/s for {cards} card{'s' if cards > 1 else ''}{moved}"
        bound = replace(rate, source=source)
    return replace(bound, value=min(rate.value, most), low=min(rate.low, RAM_LOW * most), high=min(rate.high, most))


def _collective(hardware: Hardware, slot: Rate) -> Rate:
    """NVLink: 77 % of one way (NCCL bus bandwidth). PCIe with P2P 80 % of a pinned copy, without 48 %: two hops.

    Without P2P every byte passes RAM, which all cards share.
    """
    link = hardware.link
    if link and link.nvlink:
        one_way = link.nvlink_rate or 300 * GB
        return _spread(0.77 * one_way, 0.8, 1.1, "NCCL bus bandwidth: 230 of 300 GB/s on A100, 350 of 450 on H100")
    if link and link.p2p:
        return _spread(0.8 * slot.value, 0.7, 1.1, "peer copies over PCIe")
    hops = _spread(0.48 * slot.value, 0.5, 1.5, "through RAM, no peer access: 6 GB/s (3 to 9) on PCIe 4.0 x8")
    return _through_ram(hops, hardware, crossings=2)


def _overlap(link: Link | None, slot: Rate) -> Rate:
    """Over PCIe gathers share the lanes with everything else: nothing hides on slow slots, most of it on 4.0 x16."""
    if link and link.nvlink:
        return Rate(value=0.7, low=0.4, high=0.95, source="gathers hide behind computation over NVLink")
    share = min(0.8, slot.value / OVERLAP_RATE)
    return Rate(value=share, low=0.0, high=1.0, source="a property of the board: 0 on slow slots, near 1 on x16")


OVERLAP_RATE = 31 * GB
"""Pinned copies at this rate would leave nothing to wait for; PCIe 4.0 x16 reaches 0.8 of it, x8 0.4."""


def adam_rate(hardware: Hardware, *, bf16: bool) -> Rate:
    """Parameters per second that DeepSpeed's CPU Adam steps with these states, on any machine."""
    measured = hardware.measured or Measured(date="")
    known = _given(measured.adam_bf16_rate if bf16 else measured.adam_fp32_rate)
    return known or _adam(hardware.host, ADAM_BF16_BYTES if bf16 else ADAM_FP32_BYTES)


def _adam(host: Host, moved: int) -> Rate:
    memory = ADAM_RAM_SHARE * host.ram_bandwidth / moved
    cores = ADAM_PER_CORE * host.cores * (ADAM_FP32_BYTES / moved) ** 0.5
    source = f"{moved} bytes of RAM traffic a parameter, at most {ADAM_PER_CORE / 1e9:g}e9 a core"
    return _spread(min(memory, cores), 0.6, 1.4, source)


def _drive(hardware: Hardware, name: str) -> Rate:
    drive = hardware.swap_disk
    return _spread(getattr(drive, name) if drive else GB, 0.5, 1.2, "the profile's drive, sustained")
