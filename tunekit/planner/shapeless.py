"""What to trace of a model whose shape tunekit does not know: the recipe's words, and plain answers to the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tunekit.hardware.spec import Hardware
from tunekit.memory.tracing import ALL_LINEAR, TraceRequest
from tunekit.planner.defaults import DEFAULT_RANK, accelerator_of
from tunekit.recipe.job import Adapter
from tunekit.recipe.schema import MethodSection, Recipe

Value = TypeVar("Value")


def request_without_shape(
    recipe: Recipe, config: Mapping[str, Any], hardware: Hardware
) -> tuple[TraceRequest, tuple[str, ...]]:
    """The request, and one line for what the recipe leaves to a planner that cannot plan this model."""
    assumed: list[str] = []

    def answer(key: str, found: Value | None, plain: Value) -> Value:
        if found is None:
            assumed.append(f"{key}={str(plain).lower()}")
        return plain if found is None else found

    train, method = recipe.train, recipe.method
    request = TraceRequest(
        model=recipe.model.path,
        config=dict(config),
        adapter=None if method.kind == "full" else _adapter(method),
        method=method.kind,
        base=method.quantization if method.kind == "qlora" else "none",
        double_quant=method.double_quant,
        accelerator=accelerator_of(hardware),
        precision=answer("train.precision", train.precision, "bf16"),
        attention=answer("model.attention", recipe.model.attention, "sdpa"),
        micro_batch_size=answer("train.micro_batch_size", train.micro_batch_size, 1),
        max_seq_length=train.max_seq_length,
        packing=answer("data.packing", recipe.data.packing, False),
        activation_checkpointing=answer("train.activation_checkpointing", train.activation_checkpointing, True),
        loss=answer("train.loss", train.loss, "chunked"),
        evaluates=recipe.data.eval_path is not None or recipe.data.eval_fraction > 0,
    )
    return request, (f"assumed: {', '.join(assumed)}",) if assumed else ()


def _adapter(method: MethodSection) -> Adapter:
    rank = method.rank or DEFAULT_RANK
    targets = ALL_LINEAR if isinstance(method.target_modules, str) else tuple(method.target_modules)
    return Adapter(
        rank=rank,
        alpha=method.alpha or 2 * rank,
        dropout=method.dropout,
        target_modules=targets,
        modules_to_save=method.modules_to_save,
        use_rslora=method.use_rslora,
    )
