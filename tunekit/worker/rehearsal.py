"""The rehearsal: one full step at the longest length, one evaluation batch and one save, before anything is learned.

What will fail then fails in the first minute. Afterwards all is as if it had not been: the step is taken at learning
rate 0, which changes no weight, and what it left in the optimizer (its averages, its counters) is taken out again;
random numbers, loss scale and the engine's counters go back to where they were.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from tunekit.launcher.progress import rehearsal_note
from tunekit.launcher.run_dir import RunDir
from tunekit.memory.terms import Phase
from tunekit.planner.plan import Plan
from tunekit.recipe.job import Job
from tunekit.worker.journal import Journal
from tunekit.worker.restoring import inner_optimizer
from tunekit.worker.saving import save_model_files
from tunekit.worker.stopping import go_back_to, random_states
from tunekit.worker.world import gather_objects

if TYPE_CHECKING:
    from tunekit.worker.trainer import WorkerTrainer

PHASE: Phase = "rehearsal"
TEXT = "The quick brown fox jumps over the lazy dog. "
_ENGINE = ("global_steps", "global_samples", "micro_steps", "skipped_steps", "losses", "_step_applied")
_SCALE = ("overflow", "cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")
"""Counters of DeepSpeed's engine, and of its loss scaling, wherever that keeps them."""
REHEARSED = {"gpu": ("cuda",), "always": ("cuda", "cpu"), "never": ()}
"""The accelerators that each value of `train.rehearsal` is about."""


def is_due(plan: Plan) -> bool:
    """Whether the recipe wants one here.

    On a CPU only when asked: no card can be too small there, and the step of full length would take as long as the
    first of a short run.
    """
    return plan.job.accelerator in REHEARSED[plan.recipe.train.rehearsal]


def rehearse(trainer: WorkerTrainer, journal: Journal) -> None:
    """Do it once and leave nothing behind but what was measured, in an event and in the meter's phase."""
    why = steps_without_optimizer(trainer.plan.job)
    journal.enter(PHASE)
    with trainer.meter.visiting(PHASE), as_if_it_had_not_been(trainer):
        if not trainer.plan.job.zero.zenflow:  # it keeps what a backward leaves until its own step
            take_step(trainer, update=why is None)
        if trainer.eval_dataset is not None:
            evaluate_batch(trainer)
        save_once(trainer, journal.run_dir)
    if trainer.world.device.type == "cuda":
        torch.cuda.empty_cache()  # else the first real forward would be measured with the cache of this one
    tell(trainer, journal, why)


def steps_without_optimizer(job: Job) -> str | None:
    """Why the optimizer is left out, where its states could not be taken back exactly; None where it steps too."""
    if job.zero.zenflow:
        return "ZenFlow steps in a process of its own"
    if "nvme" in (job.zero.offload_optimizer, job.zero.offload_param):
        return "its states lie in swap files"
    return None


def take_step(trainer: WorkerTrainer, *, update: bool) -> None:
    """Forward and backward of as many full micro-batches as tell accumulation apart, and the optimizer's step."""
    job, gradients = trainer.plan.job, trainer.accelerator.gradient_state
    count = min(2, job.batch.gradient_accumulation_steps)
    items = torch.tensor(count * job.tokens_per_device * trainer.world.size, device=trainer.world.device)
    trainer.current_gradient_accumulation_steps = count
    for number in range(count):
        gradients._set_sync_gradients(update and number == count - 1)
        trainer.training_step(trainer.model_wrapped, longest_batch(trainer), items)
    gradients._set_sync_gradients(True)
    trainer.model_wrapped.zero_grad()
    if not update:
        trainer.deepspeed.optimizer.zero_grad()


def evaluate_batch(trainer: WorkerTrainer) -> None:
    """The loss of one batch of held-out size."""
    trainer.model_wrapped.eval()
    trainer.prediction_step(trainer.model_wrapped, longest_batch(trainer), prediction_loss_only=True)
    trainer.model_wrapped.train()


def save_once(trainer: WorkerTrainer, run_dir: RunDir) -> None:
    """What a run writes: the result, and a checkpoint's states where checkpoints are due; removed at once."""
    folder = run_dir.rehearsal
    save_model_files(trainer, folder, trainer.world)
    if trainer.plan.recipe.output.save_steps is not None:
        exclude = trainer.plan.job.adapter is not None
        trainer.deepspeed.save_checkpoint(str(folder), exclude_frozen_parameters=exclude)
    dist.barrier()
    if trainer.world.is_first:
        shutil.rmtree(folder)
    dist.barrier()


def longest_batch(trainer: WorkerTrainer) -> dict[str, Any]:
    """A micro-batch of rows that fill max_seq_length to the last token, every one of which is learned."""
    length = trainer.plan.job.max_seq_length
    words = trainer.processing_class(TEXT, add_special_tokens=False)["input_ids"]
    tokens = (words * (length // len(words) + 1))[:length]
    row = {"input_ids": tokens, "labels": tokens}
    if trainer.plan.job.packing:
        row["seq_lengths"] = [length]
    batch: dict[str, Any] = trainer.data_collator([dict(row) for _ in range(trainer.plan.job.batch.micro_batch_size)])
    return batch


@contextmanager
def as_if_it_had_not_been(trainer: WorkerTrainer) -> Iterator[None]:
    """Learning rate 0 inside; afterwards weights, states, counters, schedule and random numbers are as before."""
    engine, device = trainer.deepspeed, trainer.world.device
    optimizers = [inner_optimizer(engine), *_second_optimizer(engine)]
    before = [StatesBefore.of(optimizer) for optimizer in optimizers]
    counters = [Counters.of(holder) for holder in (engine, *_scalers(engine))]
    schedule = copy.deepcopy(engine.lr_scheduler.state_dict()) if engine.lr_scheduler is not None else None
    random, rate = random_states(device), trainer.learning_rate
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = 0.0
    _scale_to_one(engine)
    try:
        yield
    finally:
        go_back_to(random, device)
        trainer.learning_rate = rate
        for counter in counters:
            counter.restore()
        if schedule is not None:
            engine.lr_scheduler.load_state_dict(schedule)
        for states in before:
            states.restore()


@dataclass(frozen=True, slots=True)
class StatesBefore:
    """An optimizer as it was: the settings of its groups, and which states it had."""

    optimizer: Any
    groups: tuple[dict[str, Any], ...]
    states: Mapping[Any, dict[str, Any]]

    @classmethod
    def of(cls, optimizer: Any) -> StatesBefore:
        """Averages that are all alike are kept as one number, not as a copy: zeros, and what 8 bits have for them."""
        groups = tuple({key: value for key, value in group.items() if key != "params"} for group in _groups(optimizer))
        states = {
            parameter: {key: _kept(value) for key, value in state.items()}
            for parameter, state in optimizer.state.items()
        }
        return cls(optimizer, groups, states)

    def restore(self) -> None:
        """States that the step created are dropped, their memory with them; others are what they were."""
        for group, settings in zip(_groups(self.optimizer), self.groups, strict=True):
            for key in [key for key in group if key not in settings and key != "params"]:
                del group[key]
            group.update(settings)
        for parameter in list(self.optimizer.state):
            if parameter not in self.states:
                del self.optimizer.state[parameter]
        for parameter, state in self.states.items():
            self.optimizer.state[parameter] = {key: kept.value() for key, kept in state.items()}


@dataclass(frozen=True, slots=True)
class Kept:
    """One value of a state: the tensor itself, to be filled again with a copy of what it held, or with one number."""

    held: Any
    copied: Any

    def value(self) -> Any:
        """What it was, in the same place."""
        if not torch.is_tensor(self.held):
            return self.copied
        return self.held.copy_(self.copied) if torch.is_tensor(self.copied) else self.held.fill_(self.copied)


@dataclass(frozen=True, slots=True)
class Counters:
    """The plain attributes of an object that a step moves on."""

    holder: Any
    values: Mapping[str, Any]

    @classmethod
    def of(cls, holder: Any) -> Counters:
        """Those of them that it has."""
        found = vars(holder) if hasattr(holder, "__dict__") else {}
        return cls(holder, {name: found[name] for name in (*_ENGINE, *_SCALE) if name in found})

    def restore(self) -> None:
        """Put them back."""
        for name, value in self.values.items():
            setattr(self.holder, name, value)


def _kept(value: Any) -> Kept:
    if not torch.is_tensor(value):
        return Kept(value, copy.deepcopy(value))
    alike = value.numel() and bool(value.amin() == value.amax())
    return Kept(value, value.flatten()[0].item() if alike else value.clone())


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = optimizer.param_groups
    return groups


def _second_optimizer(engine: Any) -> list[Any]:
    """The one for the share that stays on the card where only a part of the optimizer is offloaded."""
    second = getattr(engine.optimizer, "backup_optimizer", None)
    return [] if second is None else [second]


def _scalers(engine: Any) -> list[Any]:
    """What may keep the scale of the loss: ZeRO has a scaler, fp16 without ZeRO a record of its own."""
    names = ("loss_scaler", "loss_scale_config")
    return [engine.optimizer, *(getattr(engine.optimizer, name, None) for name in names)]


def _scale_to_one(engine: Any) -> None:
    """No gradient overflows at scale 1: with fp16's first scale the optimizer would often be left out."""
    for holder in _scalers(engine):
        if hasattr(holder, "__dict__") and "cur_scale" in vars(holder):
            holder.cur_scale = 1.0


def tell(trainer: WorkerTrainer, journal: Journal, why: str | None) -> None:
    """The peaks of all ranks beside the plan's, as one event and one line."""
    ranks = gather_objects(trainer.meter.peaks[PHASE], trainer.world)
    memory = trainer.plan.memory
    gpu, host = max(peak["device_reserved_bytes"] for peak in ranks), sum(peak["host_bytes"] for peak in ranks)
    told = {
        "device_bytes": int(gpu),
        "host_bytes": int(host),
        "expected_device_bytes": memory.device.expected_bytes,
        "expected_host_bytes": memory.host.expected_bytes,
        "seconds": trainer.meter.peaks[PHASE]["seconds"],
        "without_optimizer": why,
    }
    journal.event(PHASE, **told)
    journal.say(f"            {rehearsal_note(told)}")
