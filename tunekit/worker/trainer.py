"""TRL's SFTTrainer without what it computes for nothing, and with saves that do not copy the base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer
from trl import SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from tunekit.launcher.resuming import stepping
from tunekit.planner.plan import Plan
from tunekit.worker.keeping import drop_old
from tunekit.worker.loss import loss_of_learned, takes_logits_to_keep
from tunekit.worker.measuring import Meter
from tunekit.worker.restoring import read_checkpoint
from tunekit.worker.saving import checkpoint_folder, make_place, save_model_files, seal_checkpoint
from tunekit.worker.world import World


class WorkerTrainer(SFTTrainer):
    """SFTTrainer that computes the loss and nothing else.

    SFTTrainer also computes the entropy and the accuracy of every token, gathers three numbers per micro-batch, and
    counts floating point operations by walking over all modules: a third of the step on a CPU (measured).
    """

    def __init__(
        self,
        *,
        plan: Plan,
        world: World,
        meter: Meter,
        on_engine: Callable[[WorkerTrainer], None] = lambda trainer: None,
        weights_only: bool = False,
        **kwargs: Any,
    ) -> None:
        """`on_engine` is called once the engine stands; `weights_only`: the model holds the checkpoint's weights."""
        super().__init__(**kwargs)
        self.on_engine = on_engine
        self.weights_only = weights_only
        self.plan = plan
        self.world = world
        self.meter = meter
        self.tokens_in_step = 0
        self.learning_rate = 0.0
        self.proven_below = 0
        self.remove_callback(PrinterCallback)
        # On a GPU, finding the learned tokens would make the host wait for the device at every micro-batch.
        on_cpu = world.device.type == "cpu" and takes_logits_to_keep(base_model(self.model))
        self.leaves_out_logits = on_cpu and plan.job.loss == "full"
        if plan.job.loss == "chunked":
            # The newest head wins: this one computes log-probabilities only.
            add_fused_lm_head(base_model(self.model), outputs=("log_probs",))

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """Sum of the tokens' losses over all ranks' tokens of the step; DeepSpeed then averages over ranks."""
        inputs["use_cache"] = False
        if self.aux_loss_enabled:
            inputs["output_router_logits"] = True
        if self.leaves_out_logits:
            loss, outputs = loss_of_learned(model, inputs, num_items_in_batch)
            loss = loss if not self.aux_loss_enabled else loss + self.router_aux_loss_coef * outputs.aux_loss
        else:
            fused = {"fused_lm_head": True} if self.plan.job.loss == "chunked" else {}
            outputs = model(**inputs, **fused, num_items_in_batch=num_items_in_batch)
            loss = outputs.loss
        if num_items_in_batch is not None:
            loss = self._of_the_whole_step(loss, outputs)
        return (loss, outputs) if return_outputs else loss

    def _of_the_whole_step(self, loss: torch.Tensor, outputs: Any) -> torch.Tensor:
        """Undo DeepSpeed's averaging over ranks, as the tokens of all ranks divided the sum already.

        A mixture's load-balancing loss is a mean of its own over the micro-batch: it is averaged over the steps' parts.
        """
        if not self.aux_loss_enabled:
            return loss * self.world.size
        balance = self.router_aux_loss_coef * outputs.aux_loss
        return (loss - balance) * self.world.size + balance / self.current_gradient_accumulation_steps

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        """The engine, then what happens before it has learned anything, then the checkpoint, if any, is read."""
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        self.on_engine(self)
        if resume_from_checkpoint is not None:
            read_checkpoint(self, Path(resume_from_checkpoint))
        return prepared

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """No step where the checkpoint is that of the last one: transformers would take one more."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The plain step: activations are not offloaded."""
        self.learning_rate = super()._get_learning_rate()
        return Trainer.training_step(self, *args, **kwargs)

    def _get_learning_rate(self) -> float:
        """The rate of the step that was taken: where DeepSpeed steps the scheduler, it has moved on by now."""
        return self.learning_rate

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """The step's micro-batches; their real tokens, without padding, are counted on the way."""
        batches, items = super().get_batch_samples(*args, **kwargs)
        self.tokens_in_step = sum(real_tokens(batch) for batch in batches)
        return batches, items

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Nobody reads them, and counting walks over every module at every micro-batch."""
        return 0

    def store_flos(self) -> None:
        """Nothing to sum over the ranks."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The logs as they are, without SFTTrainer's metrics."""
        Trainer.log(self, logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The loss on the held-out rows; its memory is not the steps'."""
        with self.meter.visiting("eval"):
            return super().evaluate(*args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Only what was trained, gathered and written by rank 0; transformers would copy the base on every rank."""
        save_model_files(self, output_dir or self.args.output_dir, self.world)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        folder = checkpoint_folder(self.args.output_dir, self.state.global_step)
        with self.meter.visiting("save"):
            make_place(folder, self.world)
            # Not SFTTrainer's, which writes a model card into every checkpoint.
            Trainer._save_checkpoint(self, model, trial)
            keep = self.plan.recipe.output.keep_checkpoints
            deals = bool(getattr(self.deepspeed.optimizer, "round_robin_gradients", False))
            how = {**stepping(self.plan.job), "round_robin": deals}
            seal_checkpoint(folder, self.world, stepping=how)
            if self.world.is_first:
                drop_old(folder.parent, keep=keep, proven_below=self.proven_below)


def base_model(model: Any) -> Any:
    """The transformers model inside a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def real_tokens(batch: dict[str, Any]) -> int:
    """Tokens of a batch that are not padding. Packed rows have no mask; their padding repeats position 0 at the end."""
    mask = batch.get("attention_mask")
    if mask is not None:
        return int(mask.sum())
    moving = batch["position_ids"].flatten().nonzero()
    return int(moving[-1]) + 1 if len(moving) else 0
