"""The modules behind the parameters: what LoRA can be put on, and what a name in a recipe matches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tunekit.model_shape.shape import ModelShape, ParameterTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearModule:
    """A linear layer, or one per decoder layer; `path` holds `{layer}` there.

    `is_embedding` marks the token embedding, which PEFT adapts as a linear from the vocabulary to the hidden size.
    """

    path: str
    into: int
    out: int
    count: int = 1
    first_layer: int = 0
    is_embedding: bool = False

    @property
    def leaf(self) -> str:
        """The last part of its name, e.g. q_proj."""
        return self.path.rpartition(".")[2]

    def matches(self, name: str) -> bool:
        """Whether PEFT finds this module under `name`: the whole path or the end of it after a dot."""
        return self.path == name or self.path.endswith(f".{name}")


@lru_cache(maxsize=64)
def linear_modules(shape: ModelShape) -> tuple[LinearModule, ...]:
    """The nn.Linear modules inside the decoder layers, in the order of the model."""
    return tuple(
        LinearModule(
            path=tensor.name.removesuffix(".weight"),
            out=tensor.shape[0],
            into=tensor.shape[1],
            count=tensor.count,
            first_layer=tensor.first_layer,
        )
        for tensor in shape.tensors
        if tensor.role == "linear"
    )


@lru_cache(maxsize=64)
def end_modules(shape: ModelShape) -> tuple[LinearModule, ...]:
    """The token embedding and the head, tied or not."""
    table = next(tensor for tensor in shape.tensors if tensor.role == "embedding")
    return (
        LinearModule(
            path=table.name.removesuffix(".weight"), into=table.shape[0], out=table.shape[1], is_embedding=True
        ),
        LinearModule(path="lm_head", into=shape.hidden_size, out=shape.vocab_size),
    )


def tied_head(shape: ModelShape) -> tuple[ParameterTensor, ...]:
    """The head's weight where it is tied to the embedding and therefore not among the shape's tensors."""
    if not shape.tied_embeddings:
        return ()
    return (ParameterTensor(name="lm_head.weight", shape=(shape.vocab_size, shape.hidden_size), role="head"),)
