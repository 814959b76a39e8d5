"""One row of a table of measurements, whole; tests change single cells of it."""

from __future__ import annotations

ROW = {
    "row_id": "FMSPK-001",
    "framework": "fms-hf-tuning / TRL SFTTrainer + fms-acceleration (accelerated-peft-bnb)",
    "published": "2025-02-07",
    "model": "mistralai/Mistral-7B-v0.1",
    "params_b": "7.24",
    "method": "qlora",
    "lora_rank": "16",
    "lora_targets": "q_proj k_proj v_proj o_proj",
    "base_weight_dtype": "nf4",
    "quant": "bnb nf4",
    "compute_dtype": "amp bf16",
    "parallelism": "none",
    "n_gpus": "1",
    "gpu_type": "A100",
    "gpu_mem_gb": "80",
    "micro_batch": "4",
    "grad_accum": "1",
    "seq_len": "4096",
    "grad_ckpt": "on",
    "attention": "flash-attn 2",
    "phase": "train_peak",
    "mem_metric": "torch max_memory_allocated",
    "gpu_mem_value": "16373838336",
    "gpu_mem_unit": "bytes",
    "unit_base": "bytes",
    "outcome": "ok",
    "confidence": "high",
}
