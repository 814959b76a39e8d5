"""What happens between the trainer's steps: the engine is checked, the run is measured, stopping is agreed."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from tunekit.launcher.stop_request import read_stop_request
from tunekit.worker.engine_check import check_engine, forget_empty_step
from tunekit.worker.journal import Journal
from tunekit.worker.measuring import Meter, follow_steps, shard_sizes
from tunekit.worker.rehearsal import rehearse
from tunekit.worker.samples import answer_samples
from tunekit.worker.saving import checkpoint_folder, is_sealed
from tunekit.worker.stopping import StopRequest, go_back_to, random_states
from tunekit.worker.storages import part_checkpoints
from tunekit.worker.world import gather_numbers

if TYPE_CHECKING:
    from tunekit.worker.trainer import WorkerTrainer

LOGGED = ("loss", "grad_norm", "learning_rate", "eval_loss")


class StartCallback(TrainerCallback):
    """Before the first step: checks the engine, weighs its shards, rehearses, answers the questions."""

    def __init__(self, journal: Journal, meter: Meter, *, rehearses: bool = False) -> None:
        self.journal = journal
        self.meter = meter
        self.rehearses = rehearses
        self.trainer: WorkerTrainer | None = None
        self.engine: dict[str, Any] = {}
        self.shards: dict[str, int] = {}
        self.steps_before = 0
        self.samples: tuple[str, ...] = ()

    def on_engine(self, trainer: WorkerTrainer) -> None:
        """The engine stands, and no checkpoint was read yet. TunekitError: it is not the planned one."""
        self.trainer = trainer
        self.engine = check_engine(trainer.model_wrapped, trainer.plan)
        self.shards = shard_sizes(trainer.model_wrapped)
        for name, value in {**self.engine, **self.shards}.items():
            self.journal.derived(name, value)
        forget_empty_step(trainer.model_wrapped)
        part_checkpoints(trainer.model_wrapped)
        if self.rehearses:
            rehearse(trainer, self.journal)
            self.journal.enter("engine")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer after it has built the engine and loaded the checkpoint, if any."""
        assert self.trainer is not None
        trainer = self.trainer
        self.steps_before = state.global_step
        self.journal.derived("steps", state.max_steps)
        self.meter.close()  # what answering takes belongs to no phase of the plan
        if trainer.plan.recipe.output.sample_prompts and state.global_step == 0:
            self.journal.enter("samples before")
            self.samples = answer_samples(trainer.model, trainer.processing_class, trainer.plan, trainer.world)
            note_samples(self.journal, "before", trainer.plan.recipe.output.sample_prompts, self.samples)
        self.meter.enter("first forward")
        follow_steps(trainer.model_wrapped, self.meter)
        self.journal.enter("train")


class StepCallback(TrainerCallback):
    """After each step: all ranks share four numbers, which tell the speed, the memory, and whether to end."""

    def __init__(self, journal: Journal, meter: Meter, stop: StopRequest) -> None:
        self.journal = journal
        self.meter = meter
        self.stop = stop
        self.trainer: WorkerTrainer | None = None
        self.clock = 0.0
        self.random: dict[str, Any] = {}
        self.shuffled = False
        self.losses: list[float] = []
        self.first_step_seconds: float | None = None
        self.tokens = self.seconds = 0.0
        self.steady_tokens = self.steady_seconds = 0.0
        self.gpu_bytes = self.host_bytes = 0

    @property
    def tokens_per_second(self) -> float:
        """Real tokens of all ranks per second, the first step left out where there is another."""
        return self.steady_tokens / self.steady_seconds if self.steady_seconds else 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """From here on a request to end waits for the end of a step."""
        self.stop.stepping = True
        self.clock = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Share the numbers of this step and act on them."""
        assert self.trainer is not None
        mine = [float(self.stop.asked), float(self.trainer.tokens_in_step), float(self.meter.resident_bytes())]
        rows = gather_numbers([*mine, float(self.meter.device_peak())], self.trainer.world)
        asked, tokens, host, gpu = ([row[column] for row in rows] for column in range(4))
        self.host_bytes, self.gpu_bytes = int(sum(host)), int(max(gpu))
        if self.first_step_seconds is None and self.trainer.world.is_first:
            shutil.rmtree(self.journal.run_dir.converted, ignore_errors=True)  # every rank has read it
        self._count(sum(tokens))
        last = state.global_step >= state.max_steps
        if last and state.global_step % (args.save_steps or 1):
            control.should_save = False  # the final model follows; a checkpoint was not due
        if any(asked) and not last:
            self._end(args, state, control)
        return control

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remember the random numbers before the rows are shuffled: a resumed run shuffles them again."""
        assert self.trainer is not None
        self.random = random_states(self.trainer.world.device)
        self.shuffled = True

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remember the random numbers: a step that is broken off is done again with the same."""
        assert self.trainer is not None
        if not self.shuffled:
            self.random = random_states(self.trainer.world.device)
        self.shuffled = False

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Between the micro-batches of a step, which may take minutes: end here when any rank was asked to."""
        assert self.trainer is not None
        if any(row[0] for row in gather_numbers([float(self.stop.asked)], self.trainer.world)):
            go_back_to(self.random, self.trainer.world.device)
            self._end(args, state, control)
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """One line of metrics for the losses; the trainer's closing summary is not one."""
        found = {name: logs[name] for name in LOGGED if logs and name in logs}
        if "eval_loss" in found:
            self.journal.metric(step=state.global_step, eval_loss=found["eval_loss"])
            self.journal.say(f"step {state.global_step}/{state.max_steps}  eval_loss {found['eval_loss']:.4f}")
        elif "loss" in found:
            self._log_step(state, found)
            self.tokens = self.seconds = 0.0
        self.clock = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint was written and sealed; its time is not the steps'."""
        self.journal.event("checkpoint", step=state.global_step)
        self.clock = time.monotonic()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Nor is the evaluation's."""
        self.clock = time.monotonic()

    def _end(self, args: Any, state: Any, control: Any) -> None:
        """End at this place on every rank; what was summed up of an unfinished step is done again after a resume."""
        assert self.trainer is not None
        self.stop.agreed = True
        control.should_training_stop = True
        wanted = self.trainer.plan.recipe.output.save_steps is not None or read_stop_request(self.stop.run_dir).save
        due = wanted and state.global_step > 0
        control.should_save = due and not is_sealed(checkpoint_folder(args.output_dir, state.global_step))

    def _count(self, tokens: float) -> None:
        now = time.monotonic()
        seconds, self.clock = now - self.clock, now
        self.tokens += tokens
        self.seconds += seconds
        if self.first_step_seconds is None:
            self.first_step_seconds = self.journal.seconds
        else:
            self.steady_tokens += tokens
            self.steady_seconds += seconds

    def _log_step(self, state: Any, found: dict[str, float]) -> None:
        rate = self.tokens / self.seconds if self.seconds else 0.0
        self.losses.append(found["loss"])
        self.journal.metric(
            step=state.global_step,
            max_steps=state.max_steps,
            epoch=state.epoch,
            **found,
            tokens_per_second=round(rate, 3),
            seconds=round(self.seconds, 4),
            gpu_bytes=self.gpu_bytes,
            host_bytes=self.host_bytes,
        )
        self.journal.say(
            f"step {state.global_step}/{state.max_steps}  loss {found['loss']:.4f}  "
            f"lr {found.get('learning_rate', 0.0):.2e}  {rate:,.0f} tokens/s"
        )


class TensorBoardCallback(TrainerCallback):
    """Event files for TensorBoard; the library is loaded at the first log, after the first step, by rank 0 alone."""

    def __init__(self, folder: str, steps: StepCallback) -> None:
        self.folder = folder
        self.steps = steps
        self.writer: Any = None

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """One scalar per number, named train/… or eval/…."""
        if not state.is_world_process_zero or not logs:
            return
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(self.folder)
        for name in (name for name in LOGGED if name in logs):
            place = "eval/loss" if name == "eval_loss" else f"train/{name}"
            self.writer.add_scalar(place, logs[name], state.global_step)
        self.writer.add_scalar("train/tokens_per_second", self.steps.tokens_per_second, state.global_step)
        self.writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self.writer is not None:
            self.writer.close()


def note_samples(journal: Journal, when: str, prompts: tuple[str, ...], answers: tuple[str, ...]) -> None:
    """One event per question and answer."""
    for prompt, answer in zip(prompts, answers, strict=False):
        journal.event("sample", when=when, prompt=prompt, answer=answer)
        journal.say(f"            {when}: {prompt} → {answer}")
