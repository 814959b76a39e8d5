"""Real values of whole numbers among fake tensors: ids, positions, masks and routes decide what the code does next.

Whole numbers and truth values whose inputs are known are computed for real; floating-point numbers stay fake. Where
scores choose experts, every expert is chosen equally often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

LARGEST = 1 << 22
"""Elements above which nothing is computed: masks of rows x rows decide nothing."""
_VALUE = "tunekit_value"
_WHOLE = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})
_ATEN = torch.ops.aten


class UnknownValue(Exception):
    """The code asks for a number that a trace does not have."""


def known(tensor: Any) -> torch.Tensor | None:
    """The real value behind a fake tensor, or None."""
    return getattr(tensor, _VALUE, None)


def remember(tensor: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Put a real value behind a fake tensor."""
    setattr(tensor, _VALUE, value)
    return tensor


def follow(func: Any, args: Any, kwargs: Any, made: Any) -> None:
    """Compute an operation for real where its result is whole numbers and all it was given is known."""
    first = made[0] if isinstance(made, (tuple, list)) and made else made
    if func is _ATEN.topk.default:
        remember(made[1], balanced(made[1], args[0].shape[_dim(args, 2, -1)]))
    elif isinstance(first, torch.Tensor) and first.dtype in _WHOLE and first.numel() <= LARGEST:
        results = compute(func, args, kwargs)
        if results is not None:
            for fake, real in zip(tree_leaves(made), tree_leaves(results), strict=False):
                if isinstance(fake, torch.Tensor):
                    remember(fake, real)


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """The operation on real values; None where one of them is not known."""
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    if any(known(each) is None for each in tensors):
        return None
    real_args, real_kwargs = tree_map_only(torch.Tensor, known, (args, kwargs))
    with _disable_current_modes():
        return func(*real_args, **real_kwargs)


def balanced(indices: torch.Tensor, choices: int) -> torch.Tensor:
    """Indices of this shape that name each of `choices` equally often."""
    with _disable_current_modes():
        return (torch.arange(indices.numel()) % max(1, choices)).reshape(indices.shape)


def scalar(tensor: torch.Tensor) -> Any:
    """The number in a tensor of one element. UnknownValue: it depends on what was not computed."""
    value = known(tensor)
    if value is None:
        raise UnknownValue("the model's code decides by a floating-point result, which a trace does not compute")
    with _disable_current_modes():
        return value.item()


def by_position(indices: Any, fake: Callable[[torch.Tensor], torch.Tensor]) -> list[Any]:
    """Indices with every mask of truth values replaced by the positions where it is true."""
    plain: list[Any] = []
    for each in indices:
        if not isinstance(each, torch.Tensor) or each.dtype not in (torch.bool, torch.uint8):
            plain.append(each)
            continue
        value = known(each)
        if value is None:
            raise UnknownValue("the model's code picks elements by a floating-point result")
        with _disable_current_modes():
            places = value.nonzero().unbind(1)
        plain.extend(fake(place) for place in places)
    return plain


def _dim(args: Any, place: int, default: int) -> int:
    return int(args[place]) if len(args) > place else default
