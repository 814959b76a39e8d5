"""Advice in words that can be typed: tunekit's keys for its own runs, the Trainer's and DeepSpeed's for others.

The table of signatures speaks in tunekit's keys; here they are said for jobs that have none.
"""

from __future__ import annotations

_ELSEWHERE: tuple[tuple[str, str], ...] = (
    (" (tunekit: model.attention=sdpa)", ""),
    (" (tunekit evaluates so)", ""),
    (" (tunekit reads back what it saves)", ""),
    (" (tunekit writes that)", ""),
    (" (tunekit sets both)", ""),
    (" (tunekit: ~/.cache/tunekit/ops)", ""),
    ("~/.cache/tunekit/ops (else ~/.cache/torch_extensions)", "~/.cache/torch_extensions"),
    ("tunekit chooses a free one, plain deepspeed takes", "deepspeed and torchrun take"),
    ("`tunekit launch`, or `deepspeed` in a shell", "`deepspeed` or `torchrun` in a shell"),
    ("(train.loss=chunked; Liger", "(Liger"),
    ("zero.preset=z2_offload", "offload_optimizer in DeepSpeed's JSON"),
    ("AdamW of DeepSpeed (train.optimizer=adamw)", "AdamW of DeepSpeed (optimizer in its JSON)"),
    ("train.optimizer=adamw", "optim=adamw_torch"),
    ("train.precision=bf16", "bf16=True"),
    ("train.precision=fp16", "fp16=True"),
    ("(train.precision)", "(bf16=True, fp16=True)"),
    ("train.learning_rate", "learning_rate"),
    ("model.attention=sdpa", 'attn_implementation="sdpa"'),
    ("output.keep_checkpoints", "save_total_limit"),
    ("output.dir", "output_dir"),
    ("output.save_steps", "save_steps"),
    ("data.num_workers", "dataloader_num_workers"),
    ("zero.nvme_path", "nvme_path"),
    ("zero.pin_memory=false", "pin_memory: false in DeepSpeed's JSON"),
    ("zero.sub_group_size", "sub_group_size"),
    ("DEEPSPEED_TIMEOUT=120 (minutes)", "ddp_timeout=7200 (seconds; where DeepSpeed starts: DEEPSPEED_TIMEOUT=120)"),
)
"""Words of the table, and what they are in the Trainer's arguments or DeepSpeed's JSON; the longer ones first."""


def said_for(cure: str, *, own: bool) -> str:
    """A cure as it can be typed: `own` is for a run of tunekit, else for a job that another launcher started."""
    if own:
        return cure
    for ours, theirs in _ELSEWHERE:
        cure = cure.replace(ours, theirs)
    return cure
