"""The recipe's questions, answered before and after training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from tunekit.planner.plan import Plan
from tunekit.worker.world import World


def answer_samples(model: Any, tokenizer: Any, plan: Plan, world: World) -> tuple[str, ...]:
    """One greedy answer per question of output.sample_prompts, all in one batch. Every rank must call it.

    Under ZeRO-3 every rank generates, because a layer's parameters are gathered by all; otherwise rank 0 alone.
    """
    prompts = plan.recipe.output.sample_prompts
    if not prompts:
        return ()
    together = plan.job.zero.stage == 3
    answers = generate(model, tokenizer, plan, world) if together or world.is_first else ()
    dist.barrier()
    return answers


def generate(model: Any, tokenizer: Any, plan: Plan, world: World) -> tuple[str, ...]:
    """The answers as text, at most output.sample_tokens tokens each."""
    prompts = plan.recipe.output.sample_prompts
    with padded_left(tokenizer):
        texts = [as_chat(tokenizer, prompt) for prompt in prompts]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(world.device)
    with torch.no_grad(), answering(model):
        tokens = model.generate(
            **batch,
            max_new_tokens=plan.recipe.output.sample_tokens,
            do_sample=False,
            use_cache=True,
            synced_gpus=plan.job.zero.stage == 3,
            pad_token_id=tokenizer.pad_token_id,
        )
    new = tokens[:, batch["input_ids"].shape[1] :]
    return tuple(text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True))


def as_chat(tokenizer: Any, prompt: str) -> str:
    """The question as the model expects it: through its chat template where it has one."""
    if not tokenizer.chat_template:
        return prompt
    messages = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


@contextmanager
def padded_left(tokenizer: Any) -> Iterator[None]:
    """Padding on the left, so that every answer begins at the same place."""
    side = tokenizer.padding_side
    tokenizer.padding_side = "left"
    try:
        yield
    finally:
        tokenizer.padding_side = side


@contextmanager
def answering(model: Any) -> Iterator[None]:
    """The model without dropout and without the sampling settings it was shipped with."""
    config = model.generation_config
    shipped = {name: getattr(config, name, None) for name in ("temperature", "top_p", "top_k")}
    for name in shipped:
        setattr(config, name, None)
    model.eval()
    try:
        yield
    finally:
        model.train()
        for name, value in shipped.items():
            setattr(config, name, value)
