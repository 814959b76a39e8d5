"""What other trainers call our keys, so that a copied line gets the right name in one step."""

from __future__ import annotations

from collections.abc import Mapping

FOREIGN_NAMES: Mapping[str, str] = {
    # transformers, TRL, DeepSpeed
    "model_name_or_path": "model.path",
    "name_or_path": "model.path",
    "model_path": "model.path",
    "model_name": "model.path",
    "model_id": "model.path",
    "attn_implementation": "model.attention",
    "per_device_train_batch_size": "train.micro_batch_size",
    "train_micro_batch_size_per_gpu": "train.micro_batch_size",
    "train_batch_size": "train.global_batch_size",
    "num_train_epochs": "train.num_epochs",
    "lr_scheduler_type": "train.scheduler",
    "gradient_checkpointing": "train.activation_checkpointing",
    "gradient_clipping": "train.max_grad_norm",
    "max_length": "train.max_seq_length",
    "optim": "train.optimizer",
    "output_dir": "output.dir",
    "save_total_limit": "output.keep_checkpoints",
    "report_to": "tracking",
    "deepspeed": "zero.config",
    "zero_stage": "zero.stage",
    # PEFT
    "r": "method.rank",
    "lora_rank": "method.rank",
    "lora_r": "method.rank",
    "lora_alpha": "method.alpha",
    "lora_dropout": "method.dropout",
    "lora_target": "method.target_modules",
    "lora_target_modules": "method.target_modules",
    # LLaMA-Factory, axolotl, torchtune
    "finetuning_type": "method.kind",
    "adapter": "method.kind",
    "base_model": "model.path",
    "flash_attn": "model.attention",
    "cutoff_len": "train.max_seq_length",
    "sequence_len": "train.max_seq_length",
    "micro_batch": "train.micro_batch_size",
    "batch_size": "train.micro_batch_size",
    "epochs": "train.num_epochs",
    "lr": "train.learning_rate",
    "dataset": "data.path",
    "datasets": "data.path",
    "sample_packing": "data.packing",
    "val_size": "data.eval_fraction",
    "val_set_size": "data.eval_fraction",
    "max_samples": "data.max_rows",
    "double_quantization": "method.double_quant",
}
"""Their name to our dotted key."""
FOREIGN_VALUES: Mapping[str, Mapping[str, str]] = {
    "method.quantization": {"llm_int8": "write int8", "8bit": "write int8", "4bit": "write nf4"},
}
"""Values of other trainers by key, and what to write instead."""
