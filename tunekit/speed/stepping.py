"""What an optimizer step costs once, however many micro-batches it has."""

from __future__ import annotations

from tunekit.speed.case import SpeedCase
from tunekit.speed.rates import Rate
from tunekit.speed.terms import SpeedTerm

FP32_STEP, BF16_STEP, EIGHT_BIT_STEP, SMALL_STEP = 32, 18, 16, 14
"""Bytes a fused optimizer moves per parameter on a card: gradient twice (norm), states, master weight, weight."""
NVME_FP32, NVME_BF16_READ, NVME_BF16_WRITE = 16, 8, 6
"""Bytes per parameter that DeepSpeed swaps: states, master weight and gradient."""


def once(name: str, amount: float, rate: Rate, formula: str, source: str) -> SpeedTerm:
    """A term of `amount` per optimizer step at a rate."""
    return SpeedTerm(
        name=name,
        seconds=amount / rate.value,
        low=amount / rate.high,
        high=amount / rate.low,
        formula=formula,
        source=f"{source}; {rate.source}",
        kind="measured" if rate.measured else "default",
    )


def optimizer_on_card(case: SpeedCase) -> SpeedTerm:
    """Bytes of states, master weight, gradient and weight x the elements this card steps."""
    shared = case.world_size if case.job.zero.stage > 0 and not case.habits.trained_whole else 1
    count = case.counts.trained / shared * (1 - case.offloaded)
    each = _step_bytes(case)
    formula = f"{each} B x {count:,.0f} elements"
    return once("optimizer on the card", each * count, case.rates.memory, formula, "fused kernels")


def _step_bytes(case: SpeedCase) -> int:
    if "8bit" in case.job.optimizer:
        return EIGHT_BIT_STEP
    if case.job.optimizer != "adamw":
        return SMALL_STEP
    return BF16_STEP if case.job.zero.bf16_states else FP32_STEP


def optimizer_on_cpu(case: SpeedCase) -> SpeedTerm:
    """N_t / rate: all ranks share the sockets, so that all trained elements count."""
    rate = case.rates.adam_bf16 if case.job.zero.bf16_states else case.rates.adam_fp32
    count = case.counts.trained * case.offloaded
    formula = f"{count:,.0f} elements at {rate.value / 1e9:.2f}e9 a second"
    return once("optimizer on the CPU", count, rate, formula, "DeepSpeed CPUAdam")


def to_and_from_ram(case: SpeedCase) -> SpeedTerm:
    """m N_t / P of gradients down (master's width m) and b N_t / P of new weights up, with offload_optimizer."""
    mine = case.counts.trained / case.world_size * case.offloaded
    down = (2 if case.job.zero.bf16_states else 4) * mine
    moved = down + case.weight_bytes * mine * case.rates.from_gpu.value / case.rates.to_gpu.value
    formula = f"{moved / 1e9:.2f} GB per card"
    return once("gradients down, weights up", moved, case.rates.from_gpu, formula, "DeepSpeed ZeRO-Offload")


def new_weights(case: SpeedCase) -> SpeedTerm:
    """b N_t (P - 1) / P received after the step, stages 1 and 2."""
    used = case.job.zero.stage in (1, 2) and not case.habits.trained_whole
    amount = case.weight_bytes * case.counts.trained * case.others if used else 0.0
    formula = f"{amount / 1e9:.2f} GB"
    return once("gathering new weights", amount, case.rates.collective, formula, "DeepSpeed ZeRO-1 and 2")


def nvme_traffic(case: SpeedCase) -> tuple[float, float]:
    """Bytes read and written by an optimizer step: 16 N_t each way; bf16 states 8 and 6. New weights there: b N_t."""
    zero = case.job.zero
    if zero.stage < 3:
        return 0.0, 0.0
    read = written = 0.0
    if zero.offload_optimizer == "nvme":
        count = case.counts.trained * case.offloaded
        read = (NVME_BF16_READ if zero.bf16_states else NVME_FP32) * count
        written = (NVME_BF16_WRITE if zero.bf16_states else NVME_FP32) * count
    if zero.offload_param == "nvme":
        written += case.weight_bytes * case.counts.trained
    return read, written


def swapping(case: SpeedCase) -> tuple[SpeedTerm, SpeedTerm]:
    """Bytes read / rate + bytes written / rate: DeepSpeed overlaps little of them."""
    read, written = nvme_traffic(case)
    source = "DeepSpeed ZeRO-Infinity swaps master weight, states and gradient"
    return (
        once("states read from NVMe", read, case.rates.nvme_read, f"{read / 1e9:.0f} GB", source),
        once("states written to NVMe", written, case.rates.nvme_write, f"{written / 1e9:.0f} GB", source),
    )


def around_the_step(case: SpeedCase) -> SpeedTerm:
    """Seconds of gradient norm, scheduler and callbacks, once a step."""
    rate, own = case.rates.step, case.habits.step_seconds
    scale = 1.0 if own is None else own / rate.value
    seconds = (rate.value * scale, rate.low * scale, rate.high * scale)
    return SpeedTerm(
        name="around the step",
        seconds=seconds[0],
        low=seconds[1],
        high=seconds[2],
        formula=f"{seconds[0] * 1e3:.0f} ms a step",
        source=rate.source,
    )


def data_loading(case: SpeedCase) -> SpeedTerm:
    """T x passes x seconds per token in the training process; worker processes (data.num_workers) hide it."""
    tokens = case.tokens * case.passes if not case.job.num_workers else 0
    rate = case.rates.packed_row if case.job.packing else case.rates.row
    return SpeedTerm(
        name="making batches",
        seconds=tokens * rate.value,
        low=tokens * rate.low,
        high=tokens * rate.high,
        formula=f"{tokens:,} positions x {rate.value * 1e6:.2f} us",
        source=rate.source,
    )
