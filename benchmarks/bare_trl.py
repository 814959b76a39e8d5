"""The job of `peers.py` as a plain script: TRL's SFTTrainer under `deepspeed`, library defaults, nothing of tunekit.

Started as `deepspeed --num_gpus 2 --no_local_rank bare_trl.py MODEL DATA STEPS STEPS_FILE`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import deepspeed
from datasets import load_dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

ZERO_2 = {
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": True},
    "zero_optimization": {
        "stage": 2,
        "overlap_comm": False,
        "reduce_bucket_size": 500_000,
        "allgather_bucket_size": 500_000,
    },
}


class StepClock(TrainerCallback):
    """Writes the time, loss and tokens of every optimizer step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """One JSON line per logged step, by rank 0."""
        if state.is_world_process_zero and "loss" in logs:
            row = {
                "step": state.global_step,
                "time": time.time(),
                "loss": logs["loss"],
                "tokens": logs.get("num_tokens", state.num_input_tokens_seen),
            }
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def main(model: str, data: str, steps: int, steps_file: Path) -> None:
    """Train for `steps` optimizer steps."""
    deepspeed.init_distributed()
    arguments = SFTConfig(
        output_dir=str(steps_file.parent / "bare"),
        deepspeed=ZERO_2,
        use_cpu=True,
        bf16=True,
        packing=True,
        max_length=256,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=2,
        max_steps=steps,
        learning_rate=1e-4,
        lr_scheduler_type="cosine",
        warmup_steps=1,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=False,
        model_init_kwargs={"dtype": "bfloat16"},
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=load_dataset("json", data_files=data, split="train"),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[StepClock(steps_file)],
    )
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
