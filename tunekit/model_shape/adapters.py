"""LoRA's parameters as PEFT 0.21 names and shapes them, and what is trained under each method."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache

from tunekit.errors import Problem, RecipeError
from tunekit.model_shape.expert_targets import EXPERT_TARGETS, expert_adapters, expert_target, missing_half
from tunekit.model_shape.modules import LinearModule, end_modules, linear_modules, tied_head
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.recipe.job import Adapter
from tunekit.recipe.schema import MethodKind

ALL_LINEAR = "all-linear"


def resolve_target_modules(shape: ModelShape, wanted: str | Sequence[str]) -> tuple[str, ...]:
    """Module names that LoRA is put on, ready for PEFT's `target_modules`, in the order of the model.

    `all-linear` becomes every linear layer but the head; in a mixture also the router and the experts, as PEFT does.
    Raises RecipeError naming method.target_modules where a name matches nothing in the model.
    """
    if isinstance(wanted, str) and wanted.lower() == ALL_LINEAR:
        return _all_linear(shape)
    names = (wanted,) if isinstance(wanted, str) else tuple(dict.fromkeys(wanted))
    problems = [problem for name in names if (problem := _unknown_target(shape, name))]
    if not names:
        problems.append(_target_problem(shape, "an empty list", ""))
    half = missing_half(shape.family, names)
    if half:
        problems.append(_target_problem(shape, ", ".join(names), f"add {half}: it is fused with its other half"))
    if problems:
        raise RecipeError(problems, source=f"the recipe for {shape.name}")
    return names


def adapter_tensors(shape: ModelShape, adapter: Adapter) -> tuple[ParameterTensor, ...]:
    """lora_A [rank, in] and lora_B [out, rank] of every targeted module, under PEFT's names.

    Modules in `modules_to_save` get none. Raises RecipeError for dropout on a mixture's experts, which PEFT refuses.
    """
    names = adapter.target_modules
    if adapter.dropout and any(expert_target(shape.family, name) for name in names):
        problem = Problem(
            key="method.dropout",
            found=str(adapter.dropout),
            allowed="0 where LoRA is on a mixture's experts or router",
            hint="set method.dropout=0, or target the attention only",
        )
        raise RecipeError([problem])
    return _adapter_tensors(shape, names, adapter.modules_to_save, adapter.rank)


def saved_tensors(shape: ModelShape, modules_to_save: Sequence[str]) -> tuple[ParameterTensor, ...]:
    """Full copies that PEFT trains beside the adapter. Raises RecipeError naming method.modules_to_save."""
    saved = tuple(
        tensor
        for name in dict.fromkeys(modules_to_save)
        for tensor in _saved_under(shape, name) or _nothing_saved(shape, name)
    )
    return tuple(dict.fromkeys(saved))


def trainable_tensors(shape: ModelShape, method: MethodKind, adapter: Adapter | None) -> tuple[ParameterTensor, ...]:
    """Every parameter that gets a gradient: all of them for full, else the adapter and the modules saved beside it."""
    if method == "full":
        return shape.tensors
    if adapter is None:
        raise ValueError(f"method {method} has no adapter; the planner gives it one")
    return (*adapter_tensors(shape, adapter), *saved_tensors(shape, adapter.modules_to_save))


def num_trainable(shape: ModelShape, method: MethodKind, adapter: Adapter | None) -> int:
    """Elements of all trainable parameters."""
    return sum(tensor.total for tensor in trainable_tensors(shape, method, adapter))


def _all_linear(shape: ModelShape) -> tuple[str, ...]:
    leaves = [module.leaf for module in linear_modules(shape)]
    return tuple(dict.fromkeys([*leaves, *EXPERT_TARGETS.get(shape.family, {})]))


def _unknown_target(shape: ModelShape, name: str) -> Problem | None:
    modules = (*linear_modules(shape), *end_modules(shape))
    if expert_target(shape.family, name) or any(module.matches(name) for module in modules):
        return None
    return _target_problem(shape, name, "")


def _target_problem(shape: ModelShape, found: str, hint: str) -> Problem:
    allowed = [*_all_linear(shape), *(module.leaf for module in end_modules(shape))]
    near = get_close_matches(found, allowed, n=1)
    return Problem(
        key="method.target_modules",
        found=f"{found} is not a module LoRA can be put on in {shape.name}" if not hint else found,
        allowed=f"{ALL_LINEAR}, or any of {', '.join(allowed)}",
        hint=hint or (f"nearest: {near[0]}" if near else ""),
    )


@lru_cache(maxsize=256)
def _adapter_tensors(
    shape: ModelShape, names: tuple[str, ...], saved: tuple[str, ...], rank: int
) -> tuple[ParameterTensor, ...]:
    plain = [name for name in names if not expert_target(shape.family, name)]
    modules = [
        module
        for module in (*linear_modules(shape), *end_modules(shape))
        if any(module.matches(name) for name in plain) and not _is_saved(module.path, saved)
    ]
    pairs = (tensor for module in modules for tensor in _pair(module, rank))
    return (*pairs, *expert_adapters(shape, names, rank))


def _pair(module: LinearModule, rank: int) -> Iterator[ParameterTensor]:
    """PEFT's lora_A and lora_B of one module; an embedding's are parameters, not linears."""
    kind, end = ("lora_embedding", "") if module.is_embedding else ("lora", ".weight")
    for letter, shape in (("A", (rank, module.into)), ("B", (module.out, rank))):
        yield ParameterTensor(
            name=f"base_model.model.{module.path}.{kind}_{letter}.default{end}",
            shape=shape,
            role="linear",
            count=module.count,
            first_layer=module.first_layer,
        )


def _is_saved(path: str, saved: tuple[str, ...]) -> bool:
    """PEFT never adapts what is saved in full, nor anything inside it."""
    return any(re.match(rf"(^|.*\.){re.escape(name)}($|\..*)", path) for name in saved)


def _saved_under(shape: ModelShape, name: str) -> list[ParameterTensor]:
    copies = []
    for tensor in (*shape.tensors, *tied_head(shape)):
        module, rest = _saved_module(tensor.name, name)
        if module:
            copies.append(replace(tensor, name=f"base_model.model.{module}.modules_to_save.default.{rest}"))
    return copies


def _saved_module(parameter: str, name: str) -> tuple[str, str]:
    """The module around `parameter` that PEFT wraps for `name` (it compares the ends of names), and the rest."""
    parts = parameter.split(".")
    for end in range(1, len(parts)):
        module = ".".join(parts[:end])
        if module.endswith(name):
            return module, ".".join(parts[end:])
    return "", ""


def _nothing_saved(shape: ModelShape, name: str) -> list[ParameterTensor]:
    allowed = [module.leaf for module in (*end_modules(shape), *linear_modules(shape))]
    near = get_close_matches(name, allowed, n=1)
    problem = Problem(
        key="method.modules_to_save",
        found=f"{name} is not a module of {shape.name}",
        allowed=f"names such as {', '.join(dict.fromkeys(allowed))}",
        hint=f"nearest: {near[0]}" if near else "",
    )
    raise RecipeError([problem])
