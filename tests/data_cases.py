"""Small real tokenizers built in code, and recipes and jobs of which only the data matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tunekit.recipe.job import Batch, Job, Zero
from tunekit.recipe.schema import Recipe

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FORGETFUL = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and not loop.last %}(thought) {% endif %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Renders an answer differently once another turn follows."""
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
ENDLESS = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"


def make_tokenizer(
    *, template: str | None = CHATML, pad: str | None = "<pad>", adds_bos: bool = False, **more: Any
) -> Any:
    """A byte-level tokenizer whose every character is a token; `adds_bos` puts <s> in front of every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *letters])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(special)
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": pad} | more
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template, **names)


def recipe(path: str, *, train: dict[str, Any] | None = None, **data: Any) -> Recipe:
    """A recipe of which only the data and the training keys matter."""
    return Recipe.model_validate(
        {"model": {"path": "m"}, "data": {"path": path, **data}, "train": train or {}, "output": {"dir": "r"}}
    )


def job(**changes: Any) -> Job:
    """A job of which only lengths, packing and batch matter."""
    zero = Zero(
        preset="z0",
        stage=0,
        offload_optimizer="none",
        offload_param="none",
        offload_ratio=1.0,
        bf16_states=False,
        nvme_path=None,
        pin_memory=False,
        overlap_comm=False,
        reduce_bucket_size=1,
        allgather_bucket_size=1,
        prefetch_bucket_size=1,
        param_persistence_threshold=1,
        sub_group_size=1,
        max_live_parameters=1,
        max_reuse_distance=1,
    )
    plain = Job(
        accelerator="cpu",
        method="lora",
        adapter=None,
        quantization=None,
        zero=zero,
        batch=Batch(micro_batch_size=1, gradient_accumulation_steps=1, world_size=1),
        max_seq_length=64,
        packing=False,
        completion_only_loss=True,
        precision="fp32",
        attention="sdpa",
        optimizer="adamw",
        learning_rate=1e-3,
        activation_checkpointing=False,
        loss="full",
        evaluates=False,
        save_checkpoints=False,
        keep_checkpoints=1,
    )
    return replace(plain, **changes)
