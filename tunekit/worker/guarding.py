"""Follows the loss on every rank alike; a run that has gone wrong ends at once, and its last good checkpoint stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from tunekit.launcher.stop_request import StopAsked, ask_to_stop
from tunekit.planner.plan import Plan
from tunekit.watch.findings import EVENT, Finding
from tunekit.watch.loss import LossState, follow_loss, loss_text, must_stop, state_after
from tunekit.worker.journal import Journal
from tunekit.worker.keeping import drop_old, set_aside
from tunekit.worker.stopping import StopRequest

if TYPE_CHECKING:
    from tunekit.worker.trainer import WorkerTrainer


class GuardCallback(TrainerCallback):
    """Must come after what writes the metrics. Its sight is the logged loss, which all ranks share.

    A checkpoint has proven itself when its weights have given a loss that makes sense: the newest such one is kept,
    whatever `keep_checkpoints` says, until a newer one has.
    """

    def __init__(self, plan: Plan, journal: Journal, stop: StopRequest) -> None:
        self.plan = plan
        self.journal = journal
        self.stop = stop
        self.state = LossState()
        self.trainer: WorkerTrainer | None = None
        self.unproven = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What was usual in an earlier attempt still is; checkpoints before the present one have proven themselves."""
        self.state = state_after((log["loss"] for log in state.log_history if "loss" in log), state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """No checkpoint is saved of a step whose loss nobody has seen."""
        self.journal.alive()
        if control.should_save:
            control.should_log = True
        return control

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A sign of life."""
        self.journal.alive()

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A sign of life."""
        self.journal.alive()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What was saved has still to prove itself."""
        self.unproven = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Hold the loss against the limits; every rank comes to the same end."""
        if not logs or "loss" not in logs:
            return control
        assert self.trainer is not None
        watch = self.plan.recipe.watch
        # With fp16 a gradient that overflows is thrown away, and the scale of the loss lowered.
        grad_norm = None if self.plan.job.precision == "fp16" else logs.get("grad_norm")
        size = self.plan.model_shape.vocab_size
        self.state = follow_loss(self.state, state.global_step, logs["loss"], grad_norm, watch, vocabulary=size)
        self.trainer.proven_below = self.state.proven_below
        if must_stop(self.state, watch):
            self._end(control)
        elif self.unproven and self.state.fault is None:
            self._forget_older()
        return control

    def _forget_older(self) -> None:
        self.unproven = False
        assert self.trainer is not None
        if self.trainer.world.is_first:
            keep = self.plan.recipe.output.keep_checkpoints
            drop_old(self.journal.run_dir.checkpoints, keep=keep, proven_below=self.state.proven_below)

    def _end(self, control: Any) -> None:
        """End without another checkpoint, and say which one is good."""
        assert self.trainer is not None
        self.stop.agreed = True
        control.should_training_stop = True
        control.should_save = control.should_evaluate = False
        if self.trainer.world.is_first:
            self._tell()

    def _tell(self) -> None:
        run_dir = self.journal.run_dir
        text, todo = loss_text(self.state, learning_rate=self.plan.job.learning_rate)
        good = set_aside(run_dir.checkpoints, proven_below=self.state.proven_below, reason=text)
        kept = "there is no checkpoint from before" if good is None else f"the last good checkpoint is {good.name}"
        finding = Finding(rule="loss", place="loss", text=f"{text}; {kept}", todo=todo, stops=True, saves=False)
        self.journal.event(EVENT, **finding.event())
        self.journal.say(f"            {finding.text}; {todo}")
        ask_to_stop(run_dir, StopAsked(reason=finding.text, todo=todo))
