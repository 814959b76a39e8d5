"""What might make a plan smaller: families of changes, with what each costs beside speed, which the model tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from tunekit.planner.advice import about
from tunekit.planner.change import Change, Setting
from tunekit.planner.resolve import Resolved
from tunekit.planner.zero import Rung, ladder, may_hold, over_pcie
from tunekit.recipe.schema import MethodKind
from tunekit.speed.rates import adam_rate
from tunekit.units import format_bytes

Family: TypeAlias = tuple[Change, ...]
"""Alternatives of one kind: the mildest that is enough is offered."""
SHORTEST_ROW = 256
SMALLEST_RANK = 8
BF16_STATES = 0.3
"""Harm of states in bf16: a loss of 3.12 instead of 3.09 where DeepSpeed measured it."""
NVME_FOLDER = "/path/on/your/nvme"
"""Stands in what is typed where only the user knows the folder."""


def families(found: Resolved) -> tuple[Family, ...]:
    """Every family that applies to the job."""
    return tuple(family for make in FAMILIES if (family := tuple(make(found))))


def _precision(found: Resolved) -> Iterator[Change]:
    if found.asked.train.precision == "fp32":
        yield Change(
            settings=(("train.precision", "bf16"),),
            note="half the bytes and faster; what models are trained in",
        )


def _attention(found: Resolved) -> Iterator[Change]:
    if found.asked.model.attention == "eager":
        yield Change(settings=(("model.attention", "sdpa"),), note="same result, scores are never held")


def _chunked_loss(found: Resolved) -> Iterator[Change]:
    if found.trial.job.loss == "full":
        yield Change(settings=(("train.loss", "chunked"),), note="same result; logits come in pieces")


def _double_quant(found: Resolved) -> Iterator[Change]:
    quantization = found.trial.job.quantization
    if quantization and quantization.bits == 4 and not quantization.double_quant:
        note = "the scales are unpacked too" + _on_cards(
            found, ": 0.13 ms per billion parameters and pass (bitsandbytes, RTX 4090)"
        )
        yield Change(settings=(("method.double_quant", True),), note=note)


def _four_bits(found: Resolved) -> Iterator[Change]:
    quantization = found.trial.job.quantization
    if quantization and quantization.bits == 8:
        yield Change(settings=(("method.quantization", "nf4"),), harm=0.1, note="4-bit base: slightly less exact")


def _loader_processes(found: Resolved) -> Iterator[Change]:
    if found.trial.job.num_workers:
        yield Change(settings=(("data.num_workers", 0),), note="rows are prepared by the training process")


def _checkpoints(found: Resolved) -> Iterator[Change]:
    job = found.trial.job
    if job.save_checkpoints and job.keep_checkpoints > 1:
        note = f"one checkpoint instead of {job.keep_checkpoints} to go back to"
        yield Change(settings=(("output.keep_checkpoints", 1),), harm=0.05, note=note)
    if job.save_checkpoints:
        yield Change(
            settings=(("output.save_steps", "null"),), harm=0.5, note="a run that dies starts from the beginning"
        )


def _smaller_micro_batch(found: Resolved) -> Iterator[Change]:
    batch = found.trial.job.batch
    size = batch.micro_batch_size
    while size > 1:
        size = size // 2 if size % 2 == 0 else 1
        yield _micro_batch_change(found, size)


def _micro_batch_change(found: Resolved, size: int) -> Change:
    job, train = found.trial.job, found.asked.train
    micro, steps = job.batch.micro_batch_size, job.batch.gradient_accumulation_steps
    passes = micro * steps // size
    settings: tuple[Setting, ...] = (("train.micro_batch_size", size),)
    if train.gradient_accumulation_steps is not None:
        settings += (("train.gradient_accumulation_steps", passes),)
    return Change(settings=settings, note=f"same global batch in {passes} passes instead of {steps}")


def _recompute(found: Resolved) -> Iterator[Change]:
    job = found.trial.job
    if not job.activation_checkpointing:
        full = job.method == "full"
        flop = "8 instead of 6" if full else "6 instead of 4"
        note = f"same result; {flop} FLOP per parameter and token"
        yield Change(settings=(("train.activation_checkpointing", True),), note=note)


def _eight_bit_states(found: Resolved) -> Iterator[Change]:
    job = found.trial.job
    if job.optimizer == "adamw" and job.zero.offload_optimizer == "none" and not job.zero.bf16_states:
        note = "2 instead of 8 bytes of moments per trained parameter"
        yield Change(settings=(("train.optimizer", "adamw_8bit"),), harm=0.15, note=note)


def _lower_rank(found: Resolved) -> Iterator[Change]:
    adapter = found.trial.job.adapter
    rank, harm = adapter.rank // 2 if adapter else 0, 0.3
    while adapter and rank >= SMALLEST_RANK:
        settings: tuple[Setting, ...] = (("method.rank", rank),)
        if found.asked.method.alpha is not None:
            # The same scale alpha / rank, so that the learning rate still suits.
            settings += (("method.alpha", max(1, adapter.alpha * rank // adapter.rank)),)
        note = f"the adapter learns less: rank {rank} instead of {adapter.rank}"
        yield Change(settings=settings, harm=harm, note=note)
        rank, harm = rank // 2, harm + 0.1


def _shorter_rows(found: Resolved) -> Iterator[Change]:
    whole = found.trial.job.max_seq_length
    length, harm = whole // 2, 0.4
    while length >= SHORTEST_ROW:
        note = f"rows over {length:,} tokens are cut (now {whole:,})"
        yield Change(settings=(("train.max_seq_length", length),), harm=harm, note=note)
        length, harm = length // 2, harm + 0.2


def _unpinned(found: Resolved) -> Iterator[Change]:
    if found.trial.rung.offloads and found.trial.job.zero.pin_memory:
        note = "no rounding to powers of two in RAM; copies to the card about half as fast"
        yield Change(settings=(("zero.pin_memory", False),), harm=0.3, note=note)


def _presets(found: Resolved) -> Iterator[Change]:
    yield from (_preset_change(found, rung.preset) for rung in _others(found) if not rung.facts.bf16_states)


def _bf16_presets(found: Resolved) -> Iterator[Change]:
    yield from (_preset_change(found, rung.preset) for rung in _others(found) if rung.facts.bf16_states)


def _others(found: Resolved) -> Iterator[Rung]:
    recipe, now = found.asked, found.trial.job.zero
    for rung in ladder(recipe.method.kind, found.settled.hardware):
        if rung.preset != now.preset and may_hold(rung, recipe.method):
            yield rung


def _preset_change(found: Resolved, preset: str) -> Change:
    harm = BF16_STATES if preset.endswith("bf16") else 0.0
    return Change(settings=_preset_settings(found, preset), harm=harm, note=_preset_note(found, preset))


def _preset_settings(found: Resolved, preset: str) -> tuple[Setting, ...]:
    """The preset, with the folder that one on the drive needs."""
    needs_folder = preset == "z3_offload_nvme" and found.asked.zero.nvme_path is None
    return (("zero.preset", preset), *((("zero.nvme_path", NVME_FOLDER),) if needs_folder else ()))


def _preset_note(found: Resolved, preset: str) -> str:
    if preset in ("z0", "z1", "z2"):
        return f"each {'card' if found.settled.hardware.gpus else 'process'} holds the weights whole: faster"
    if preset in ("z3", "z3_qlora"):
        return f"shards are gathered in every pass{' over PCIe' if over_pcie(found.settled.hardware) else ''}"
    if preset == "z3_offload_param":
        streamed = format_bytes(2 * found.settled.shape.num_parameters)
        return f"{streamed} of weights stream from RAM in every forward and again in every backward"
    if preset == "z3_offload_nvme":
        return _nvme_note(found)
    bf16 = preset.endswith("bf16")
    seconds = found.settled.num_trainable / adam_rate(found.settled.hardware, bf16=bf16).value
    note = f"the CPU steps the optimizer: {about(seconds)} per step"
    return note + ("; bf16 states, loss 3.12 instead of 3.09 (DeepSpeed, 6.9B)" if bf16 else "")


def _nvme_note(found: Resolved) -> str:
    note = "optimizer states and weights rest on the drive"
    return note if found.asked.zero.nvme_path else f"{note}; write a folder of your own for {NVME_FOLDER}"


def _on_cards(found: Resolved, cost: str) -> str:
    """A cost that was measured on a card; nothing where the job runs on CPUs."""
    return cost if found.settled.hardware.gpus else ""


def _to_lora(found: Resolved) -> Iterator[Change]:
    kind = found.asked.method.kind
    if kind == "full":
        note = "trains an adapter instead of every weight: enough for most instruction tuning"
        yield from _method_changes(found, "lora", 1.0, note)
    if kind == "qlora":
        # ZeRO-3 loads a 16-bit base shard by shard; a 4-bit one is built whole on every card first.
        changes = _method_changes(found, "lora", 0.0, "16-bit base instead of 4-bit, loaded shard by shard")
        yield from (change for change in changes if dict(change.settings)["zero.preset"].startswith("z3"))


def _to_qlora(found: Resolved) -> Iterator[Change]:
    kind = found.asked.method.kind
    if kind == "full":
        yield from _method_changes(found, "qlora", 1.1, "trains an adapter on a 4-bit base instead of every weight")
    if kind == "lora":
        yield from _method_changes(found, "qlora", 0.35, "4-bit base: slightly less exact")


def _method_changes(found: Resolved, kind: MethodKind, harm: float, note: str) -> Iterator[Change]:
    recipe = found.asked
    hardware = found.settled.hardware
    drive = ("z3_offload_nvme",) if kind == "lora" and hardware.gpus and hardware.disks else ()
    for preset in (*(rung.preset for rung in ladder(kind, hardware)), *drive):
        settings: tuple[Setting, ...] = (("method.kind", kind), *_preset_settings(found, preset))
        if recipe.method.kind == "full" and recipe.train.learning_rate is not None:
            # What suits every weight is about ten times too small for an adapter.
            settings += (("train.learning_rate", "auto"),)
        moved = preset.startswith("z3")
        whole = f"{note}; {_preset_note(found, preset)}" if moved else note
        yield Change(settings=settings, harm=harm, note=whole)


FAMILIES: tuple[Callable[[Resolved], Iterator[Change]], ...] = (
    _precision,
    _attention,
    _chunked_loss,
    _double_quant,
    _loader_processes,
    _checkpoints,
    _smaller_micro_batch,
    _eight_bit_states,
    _lower_rank,
    _unpinned,
    _recompute,
    _shorter_rows,
    _presets,
    _bf16_presets,
    _four_bits,
    _to_lora,
    _to_qlora,
)
