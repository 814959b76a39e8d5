"""`ModelShape`: every parameter tensor of a model by name, shape and role, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

Role = Literal["embedding", "head", "linear", "expert", "router", "norm", "bias", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterTensor:
    """One parameter, or one per layer.

    `name` holds `{layer}` where the tensor stands once in each of the layers `first_layer` to
    `first_layer + count - 1`. A `linear` is a weight [out, in] of an nn.Linear inside the layers; an `expert` is a
    fused 3-D expert weight [experts, out, in]; `head` is an untied lm_head; a tied head is not listed.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    count: int = 1
    first_layer: int = 0

    @property
    def numel(self) -> int:
        """Elements of one such tensor."""
        return prod(self.shape)

    @property
    def total(self) -> int:
        """Elements of all `count` tensors."""
        return self.numel * self.count

    @property
    def names(self) -> tuple[str, ...]:
        """The parameter's full names, one per layer it stands in."""
        layers = range(self.first_layer, self.first_layer + self.count)
        return tuple(self.name.format(layer=layer) for layer in layers)

    @property
    def in_layers(self) -> bool:
        """Whether it belongs to the decoder layers, not to the ends of the model."""
        return "{layer}" in self.name


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What a model is. Counts are exact: they equal what transformers builds on the meta device."""

    name: str
    """Hub id or path as the recipe has it."""
    family: str
    """transformers' `model_type`, e.g. llama."""
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_size: int
    """Width of the feed-forward part (of one expert in a mixture)."""
    vocab_size: int
    """Rows of the embedding."""
    max_positions: int
    tied_embeddings: bool
    num_experts: int = 0
    experts_per_token: int = 0
    gated_mlp: bool = True
    """True for SwiGLU/GeGLU (three matrices), False for two."""
    sliding_window: int = 0
    """Tokens that those layers attend to which have a window; 0 where none has."""
    sliding_layers: int = 0
    """Number of layers with the window."""
    tensors: tuple[ParameterTensor, ...]
    """In the order of transformers' `named_parameters()` of one layer, embeddings first."""
    source: str
    """Where the shape was read: `catalogue`, a config.json path, a .gguf path, or the hub."""

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.source, self.tensors))

    def __hash__(self) -> int:
        # A search asks for it thousands of times.
        return self._hash

    @cached_property
    def num_parameters(self) -> int:
        """All parameters, tied weights counted once."""
        return sum(tensor.total for tensor in self.tensors)

    def count(self, *roles: Role) -> int:
        """Parameters of the given roles."""
        return sum(tensor.total for tensor in self.tensors if tensor.role in roles)
