"""The mode under which the real modelling code runs on fake tensors: storages are counted, whole numbers are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from tunekit.worker.tracing import values
from tunekit.worker.tracing.storages import Ledger

_ATEN = torch.ops.aten
_BY_INDEX = (_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default)
_BY_VALUE = (
    _ATEN.nonzero.default,
    _ATEN.masked_select.default,
    _ATEN._unique2.default,
    _ATEN.unique_consecutive.default,
    _ATEN.repeat_interleave.Tensor,
    _ATEN.bincount.default,
)
"""Operations whose result's shape depends on values."""


UNSHARED = (4, 2)
"""References to a gradient that nothing but autograd holds, and to its storage, as they are counted in a mode."""


def sums_in_place(func: Any, args: Any) -> bool:
    """Whether this is autograd's sum of two gradients of one tensor, the first of which nothing else uses.

    `can_accumulate_inplace` in torch/csrc/autograd/input_buffer.cpp: with plain tensors such a sum takes no memory.
    Backward of torch's own functions adds no tensors otherwise.
    """
    if func is not _ATEN.add.Tensor or torch.is_grad_enabled() or not isinstance(args[1], torch.Tensor):
        return False
    if torch._C._current_autograd_node() is None or args[0].shape != args[1].shape:
        return False
    tensor, storage = references(args[0])
    return tensor <= UNSHARED[0] and storage <= UNSHARED[1] and args[0].is_contiguous()


def references(tensor: torch.Tensor) -> tuple[int, int]:
    """References to a tensor and to its storage."""
    return tensor._use_count(), torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


class TracingMode(TorchDispatchMode):
    """Counts storages in `ledger`, and answers what fake tensors cannot. Enter it inside its fake mode."""

    def __init__(self, fake: FakeTensorMode, ledger: Ledger) -> None:
        super().__init__()
        self.fake = fake
        self.ledger = ledger
        self.answers: dict[Any, Callable[..., Any]] = {
            _ATEN._local_scalar_dense.default: values.scalar,
            _ATEN.is_nonzero.default: lambda tensor: bool(values.scalar(tensor)),
            _ATEN.equal.default: self._equal,
        }

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        answer = self.answers.get(func)
        if answer is not None:
            return answer(*args)
        if sums_in_place(func, args):
            # Autograd adds into the first gradient; it does not where tensors are fake.
            made = args[0].add_(args[1])
        elif func in _BY_VALUE:
            made = self._shaped_by_values(func, args, kwargs)
        else:
            if func in _BY_INDEX:
                args = (args[0], values.by_position(args[1], self.known), *args[2:])
            made = func(*args, **kwargs)
            values.follow(func, args, kwargs, made)
        self.ledger.note(made)
        return made

    def known(self, real: torch.Tensor) -> torch.Tensor:
        """A fake tensor with a real value behind it."""
        with _disable_current_modes():
            made = values.remember(self.fake.from_tensor(real), real)
        self.ledger.note(made)
        return made

    def _shaped_by_values(self, func: Any, args: Any, kwargs: Any) -> Any:
        results = values.compute(func, args, kwargs)
        if results is None:
            raise values.UnknownValue(f"the shape of {func} depends on a floating-point result")
        if isinstance(results, torch.Tensor):
            return self.known(results)
        return tuple(self.known(each) for each in results)

    def _equal(self, one: torch.Tensor, other: torch.Tensor) -> bool:
        found = values.compute(_ATEN.equal.default, (one, other), {})
        return False if found is None else bool(found)
