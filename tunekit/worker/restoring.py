"""Reading a checkpoint into a run: as DeepSpeed wrote it, in its universal format, or only its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from transformers.integrations.deepspeed import deepspeed_load_checkpoint
from transformers.trainer_callback import TrainerState

from tunekit.worker.saving import gathered

if TYPE_CHECKING:
    from tunekit.worker.trainer import WorkerTrainer

STATE, UNIVERSAL = "trainer_state.json", "latest_universal"


def read_checkpoint(trainer: WorkerTrainer, folder: Path) -> None:
    """Weights, optimizer states and schedule of `folder`; with `weights_only` the schedule alone."""
    if trainer.weights_only:
        advance_schedule(trainer, folder)
        return
    strict = not isinstance(trainer.model, PeftModel)
    deepspeed_load_checkpoint(trainer.model_wrapped, str(folder), load_module_strict=strict)
    if (folder / UNIVERSAL).exists():
        advance_schedule(trainer, folder)
        part_steps(inner_optimizer(trainer.deepspeed))
    else:
        trainer._load_optimizer_and_scheduler(str(folder))


def advance_schedule(trainer: WorkerTrainer, folder: Path) -> None:
    """The learning rate of the step that comes next; its course depends on the number of steps alone."""
    done = TrainerState.load_from_json(str(folder / STATE)).global_step
    schedule: Any = trainer.lr_scheduler
    schedule = getattr(schedule, "scheduler", schedule)  # accelerate's wrapper steps only where the optimizer has
    schedule.last_epoch = done - 1
    schedule.step()


def part_steps(optimizer: torch.optim.Optimizer) -> None:
    """A counter of its own for every state, beside its averages where the kernel wants it there.

    DeepSpeed gives all states of stage 3 one and the same tensor out of a universal checkpoint: each would count on
    with the others (deepspeed 0.19.8, load_hp_checkpoint_state_from_checkpoint_dir_stage3).
    """
    fused = any(group.get("fused") for group in optimizer.param_groups)
    for parameter, state in optimizer.state.items():
        step = state.get("step")
        if torch.is_tensor(step):
            state["step"] = step.to(parameter.device if fused else step.device, copy=True)


def inner_optimizer(engine: Any) -> Any:
    """The optimizer that steps, inside DeepSpeed's."""
    return getattr(engine.optimizer, "optimizer", engine.optimizer)


def load_adapter_weights(model: torch.nn.Module, folder: Path) -> None:
    """Put the adapter saved in `folder` in the place of a new one, before the engine stands."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with gathered(trained):
        found = set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))
    assert not found.unexpected_keys, f"{folder} holds other adapters: {found.unexpected_keys[:3]}"
