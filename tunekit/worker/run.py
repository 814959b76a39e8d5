"""One training run on one rank, top to bottom."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from tunekit.diagnosis.cause import ENDED_AS_ASKED
from tunekit.launcher.environment import ATTEMPT_VARIABLE
from tunekit.launcher.run_dir import RunDir
from tunekit.memory.terms import LATER
from tunekit.planner.plan import Plan
from tunekit.probes.local import probe_hardware
from tunekit.worker.adapters import add_adapters, count_trainable, numel
from tunekit.worker.arguments import training_arguments
from tunekit.worker.callbacks import StartCallback, StepCallback, TensorBoardCallback, note_samples
from tunekit.worker.card import write_card
from tunekit.worker.data import PreparedData, load_datasets
from tunekit.worker.guarding import GuardCallback
from tunekit.worker.journal import Journal, write_json
from tunekit.worker.keeping import drop_old
from tunekit.worker.measuring import Meter, files_bytes, held_by_others, optimizer_state_bytes
from tunekit.worker.model import load_model, load_tokenizer, model_folder
from tunekit.worker.rehearsal import is_due
from tunekit.worker.restoring import load_adapter_weights
from tunekit.worker.samples import answer_samples
from tunekit.worker.saving import drop_torn, save_model_files
from tunekit.worker.stopping import Stopped, StopRequest
from tunekit.worker.trainer import WorkerTrainer
from tunekit.worker.verifying import verify_final
from tunekit.worker.world import World, first_rank_first, gather_objects, join_world

FINISHED = 0
STOPPED = 130
SWAP_FOLDER = "zero_stage_3"
"""What DeepSpeed calls its folder below nvme_path; it leaves the files there, 18 bytes per parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What training goes on from: a checkpoint, or nothing; with `weights_only` no optimizer states are taken from it.

    `rehearses`: the plan was not tried here before.
    """

    checkpoint: Path | None = None
    weights_only: bool = False
    rehearses: bool = True

    @property
    def weights(self) -> Path | None:
        """The folder that the model's, or the adapter's, weights are read from instead of new ones."""
        return self.checkpoint if self.weights_only else None


def run(plan: Plan, run_dir: RunDir, journal: Journal, origin: Origin) -> int:
    """Train, save, verify. 0: success.json is written; 130: the ranks ended together on request."""
    stop = StopRequest(run_dir)
    with stop.listening():
        try:
            return train_and_save(plan, run_dir, journal, stop, origin)
        except Stopped:
            return end_as_asked(journal)
        finally:
            finish_trackers()


def train_and_save(plan: Plan, run_dir: RunDir, journal: Journal, stop: StopRequest, origin: Origin) -> int:
    """The run itself; raises Stopped between phases, and whatever goes wrong."""
    journal.enter("process group")
    others = held_by_others(plan)
    world = join_world(plan)
    journal.derived("world", f"{world.size} ranks on {world.device.type}")
    meter = Meter(world, others_bytes=others)
    journal.measure = meter.at_failure
    meter.enter("load")
    steps = StepCallback(journal, meter, stop)
    start = StartCallback(journal, meter, rehearses=origin.rehearses and is_due(plan))
    board = TensorBoardCallback(str(run_dir.tensorboard), steps)
    guard = GuardCallback(plan, journal, stop)
    callbacks = [start, steps, guard, *([board] if "tensorboard" in plan.recipe.tracking else [])]
    trainer = build_trainer(plan, run_dir, journal, meter, callbacks, origin)
    steps.trainer = guard.trainer = trainer
    stop.check()

    journal.enter("engine")
    meter.enter("load" if origin.checkpoint is None else "resume")
    trainer.train(resume_from_checkpoint=str(origin.checkpoint) if origin.checkpoint is not None else None)
    stop.stepping = False
    board.close()
    if stop.agreed:
        return end_as_asked(journal)
    eval_loss = evaluate(trainer, journal)
    result = save_final(trainer, run_dir, journal, meter)
    meter.close()
    after = answer_after(trainer, journal)
    write_measured(trainer, run_dir, meter, start)
    if world.is_first:
        record = success_record(plan, trainer, steps, start, result, after, eval_loss)
        write_card(run_dir.final, plan, record)
        drop_torn(run_dir.checkpoints, before=record["steps"] + 1)
        drop_old(run_dir.checkpoints, keep=plan.recipe.output.keep_checkpoints)
        write_json(run_dir.success, record)
    dist.barrier()
    journal.enter("done")
    release(trainer)
    return FINISHED


def end_as_asked(journal: Journal) -> int:
    """Say so in every rank's log: one may be asked because another was killed, and is not to be taken for it."""
    journal.enter("stopped")
    journal.last_words(ENDED_AS_ASKED)
    return STOPPED


def build_trainer(
    plan: Plan, run_dir: RunDir, journal: Journal, meter: Meter, callbacks: list[Any], origin: Origin
) -> WorkerTrainer:
    """Arguments, tokenizer, data, model, adapters, in this order; see each step for why."""
    world, saved = meter.world, origin.weights
    # First: from_pretrained looks for DeepSpeed's settings, which live as long as these arguments.
    arguments = training_arguments(plan, run_dir, json.loads(run_dir.ds_config.read_text()))
    folder = model_folder(plan)
    journal.derived("model_folder", str(folder))
    tokenizer = load_tokenizer(plan, folder)

    journal.enter("data")
    data = load_data(plan, tokenizer, journal, world)

    journal.enter("model")
    model = load_model(plan, folder, world, weights=saved if plan.job.adapter is None else None)
    journal.derived("parameters", sum(map(numel, model.parameters())))

    journal.enter("adapters" if plan.job.adapter is not None else "trainer")
    model = add_adapters(model, plan)
    if saved is not None and plan.job.adapter is not None:
        load_adapter_weights(model, saved)
    journal.derived("trainable_parameters", count_trainable(model))
    return WorkerTrainer(
        plan=plan,
        world=world,
        meter=meter,
        on_engine=next(found.on_engine for found in callbacks if isinstance(found, StartCallback)),
        weights_only=origin.weights_only,
        model=model,
        args=arguments,
        train_dataset=data.train,
        eval_dataset=data.eval,
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def load_data(plan: Plan, tokenizer: Any, journal: Journal, world: World) -> PreparedData:
    """The data sets; rank 0 reads and tokenises them, the others find its cache."""

    def report(kind: str, fields: dict[str, Any]) -> None:
        journal.event(kind, **fields)
        told = {"warning": fields.get("text")} if kind == "warning" else fields
        for name, value in told.items():
            journal.say(f"            {name} = {value}")

    with first_rank_first(world):
        return load_datasets(plan.recipe, plan.job, tokenizer, report=report)


def evaluate(trainer: WorkerTrainer, journal: Journal) -> float | None:
    """Loss on the held-out rows after the last step; None where nothing is held out."""
    if trainer.eval_dataset is None:
        return None
    last = next((log for log in reversed(trainer.state.log_history) if "eval_loss" in log), None)
    if last is not None and last["step"] == trainer.state.global_step:
        return float(last["eval_loss"])
    journal.enter("eval")
    return float(trainer.evaluate()["eval_loss"])


def save_final(trainer: WorkerTrainer, run_dir: RunDir, journal: Journal, meter: Meter) -> dict[str, Any]:
    """Write final/, then read it back. TunekitError, on rank 0: what was written is not what was trained."""
    journal.enter("save")
    meter.enter("save")
    save_model_files(trainer, run_dir.final, trainer.world)
    journal.enter("verify")
    result = verify_final(run_dir.final, trainer.plan) if trainer.world.is_first else {}
    for name, value in result.items():
        journal.derived(f"final_{name}", value)
    return result


def answer_after(trainer: WorkerTrainer, journal: Journal) -> tuple[str, ...]:
    """The recipe's questions once more."""
    prompts = trainer.plan.recipe.output.sample_prompts
    if prompts:
        journal.enter("samples after")
    answers = answer_samples(trainer.model, trainer.processing_class, trainer.plan, trainer.world)
    note_samples(journal, "after", prompts, answers)
    return answers


def write_measured(trainer: WorkerTrainer, run_dir: RunDir, meter: Meter, start: StartCallback) -> None:
    """measured.json: what every rank saw, beside what the plan expected."""
    shards = {**start.shards, "optimizer_state_bytes": optimizer_state_bytes(trainer.deepspeed.optimizer)}
    mine = {"rank": trainer.world.rank, "start": meter.start, "phases": meter.peaks, "shards": shards}
    ranks = gather_objects(mine, trainer.world)
    if not trainer.world.is_first:
        return
    expected = [
        {"phase": peak.phase, "device_bytes": peak.device_bytes, "host_bytes": peak.host_bytes}
        for peak in trainer.plan.memory.peaks
        if peak.phase not in LATER
    ]
    record = {
        "engine": start.engine,
        "machine": probe_hardware().parts,
        "ranks": ranks,
        "swap_bytes": swap_bytes(trainer.plan),
        "expected": expected,
    }
    write_json(run_dir.measured, record)


def swap_bytes(plan: Plan) -> int:
    """Bytes of the swap files of NVMe offload, all ranks together."""
    swap = plan.job.zero.nvme_path
    return files_bytes(Path(swap) / SWAP_FOLDER) if swap is not None else 0


def success_record(
    plan: Plan,
    trainer: WorkerTrainer,
    steps: StepCallback,
    start: StartCallback,
    result: dict[str, Any],
    after: tuple[str, ...],
    eval_loss: float | None,
) -> dict[str, Any]:
    """success.json: the marker, and what the summary shows."""
    prompts = plan.recipe.output.sample_prompts
    before = start.samples or ("",) * len(prompts)
    # Resumed after the last step, no step was done here: then those of the checkpoint.
    losses = steps.losses or [log["loss"] for log in trainer.state.log_history if "loss" in log]
    return {
        "attempt": int(os.environ.get(ATTEMPT_VARIABLE, "1")),
        "steps": trainer.state.global_step,
        "steps_before": start.steps_before,
        "loss_first": losses[0] if losses else None,
        "loss_last": losses[-1] if losses else None,
        "eval_loss": eval_loss,
        "tokens_per_second": round(steps.tokens_per_second, 3),
        "seconds_to_first_step": steps.first_step_seconds,
        "seconds": round(start.journal.seconds, 3),
        "final": result,
        "engine": start.engine,
        "samples": [
            {"prompt": prompt, "before": old, "after": new}
            for prompt, old, new in zip(prompts, before, after, strict=True)
        ],
    }


def finish_trackers() -> None:
    """Let Weights & Biases send what it holds: the ranks end without the interpreter's tear-down."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and getattr(wandb, "run", None) is not None:
        wandb.finish()


def release(trainer: WorkerTrainer) -> None:
    """Let go of the engine, its swap files and transformers' settings, so that a process can run another plan."""
    trainer.deepspeed.destroy()
    trainer.accelerator.free_memory()
    unset_hf_deepspeed_config()
    dist.barrier()
    swap = trainer.plan.job.zero.nvme_path
    if swap is not None and trainer.world.is_first:
        shutil.rmtree(Path(swap) / SWAP_FOLDER, ignore_errors=True)
