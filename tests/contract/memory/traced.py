"""Small models of many families under a tracker of allocations: what autograd saves, and the peak of a step."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM

from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.shape import ModelShape

BASE = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}


def config(family: str, layers: int, **changes: Any) -> dict[str, Any]:
    """config.json of a small model of this family."""
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {"model_type": family, **BASE, **tokens, **changes, "num_hidden_layers": layers}


def shape_of(wanted: dict[str, Any]) -> ModelShape:
    """The shape that the planner would read from it."""
    return shape_from_config(wanted, name="traced", source="test")


def build(wanted: dict[str, Any], targets: tuple[str, ...], *, attention: str = "sdpa") -> Any:
    """The real model in bf16, with adapters on `targets`; without any, all of it trains."""
    torch.set_num_threads(1)  # the operations are tiny, and other tests share the cores
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**wanted), dtype=torch.bfloat16, attn_implementation=attention
    )
    if targets:
        lora = LoraConfig(r=8, target_modules=list(targets), lora_dropout=0.0, task_type="CAUSAL_LM")
        made = get_peft_model(made, lora, autocast_adapter_dtype=False)
        for parameter in made.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
        made.enable_input_require_grads()
    return made.train()


def inner(model: Any) -> Any:
    """The transformers model inside a PEFT model."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def ids(model: Any, tokens: int) -> torch.Tensor:
    """One row of random tokens."""
    return torch.randint(0, inner(model).config.vocab_size, (1, tokens))


def saved_bytes(model: Any, tokens: int) -> int:
    """Bytes of the storages that autograd saves in one forward, parameters apart."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        inner(model).base_model(input_ids=ids(model, tokens), use_cache=False)
    return sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in own)


class Allocations(TorchDispatchMode):
    """Bytes of all storages made while it is on: now and at the peak."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor.untyped_storage())
        return made

    def count(self, storage: torch.UntypedStorage) -> None:
        """Count a storage until it is freed."""
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = storage.nbytes()
            self.now += storage.nbytes()
            weakref.finalize(storage, self.forget, key)
            self.peak = max(self.peak, self.now)

    def forget(self, key: int) -> None:
        """The storage was freed."""
        self.now -= self.alive.pop(key, 0)


def peak_bytes(model: Any, loss: Callable[[], torch.Tensor], *, checkpointing: bool) -> int:
    """Peak bytes allocated in a forward and backward; the gradients exist before."""
    if checkpointing:
        inner(model).gradient_checkpointing_enable({"use_reentrant": False})
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    with Allocations() as found:
        loss().backward()
    return found.peak
