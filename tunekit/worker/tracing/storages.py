"""A ledger of every storage that is made and freed: its bytes, the module that made it, the part of the step."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from tunekit.memory.tracing import TracedName
from tunekit.worker.tracing.timeline import Event

OUTSIDE = "head and loss"
"""What made the storages that no module below the whole model made."""
INPUTS = "inputs"


Kind: TypeAlias = tuple[tuple[int, ...], torch.dtype]


def kind_of(tensor: torch.Tensor) -> Kind:
    """Type and sides of a tensor, whichever comes first: a gradient may be made the other way round."""
    return tuple(sorted(tensor.shape)), tensor.dtype


@dataclass(slots=True)
class Ledger:
    """What happened, in order. `gradients` are the serial numbers of storages that are gradients of weights.

    A storage lives until its last tensor, view or saved reference is gone: Python's wrapper of a storage lives as long
    as the storage itself, so that a weak reference to it tells when.
    """

    phase: TracedName = "forward"
    modules: list[str] = field(default_factory=lambda: [OUTSIDE])
    events: list[Event] = field(default_factory=list)
    gradients: set[int] = field(default_factory=set)
    alive: dict[int, tuple[int, int, weakref.ref[Any]]] = field(default_factory=dict)
    ignored: set[int] = field(default_factory=set)
    shared: frozenset[Kind] = frozenset()
    """Weights that two modules share: the parts of their gradients, which no hook sees, are known by their kind."""
    watching: bool = True
    serial: int = 0

    def note(self, made: Any) -> None:
        """Count the storages behind what an operation returned."""
        if isinstance(made, torch.Tensor):
            self.note_storage(made.untyped_storage())
            if self.shared and self.phase in ("loss", "backward") and kind_of(made) in self.shared:
                self.mark_gradient(made)
        elif isinstance(made, (tuple, list)):
            for each in made:
                self.note(each)

    def note_storage(self, storage: Any) -> None:
        """Count a storage once, and again when it was resized."""
        key, size = storage._cdata, storage.nbytes()
        known = self.alive.get(key)
        if not self.watching or key in self.ignored or (known is not None and known[1] == size):
            return
        if known is not None:
            self._end(known[0], known[1])
        self.serial += 1
        reference = known[2] if known is not None else weakref.ref(storage, lambda _: self._freed(key))
        self.alive[key] = (self.serial, size, reference)
        self.events.append(Event(self.serial, size, self.modules[-1], self.phase))

    def ignore(self, tensor: torch.Tensor) -> None:
        """Leave out a storage that is no activation: a weight."""
        self.ignored.add(tensor.untyped_storage()._cdata)

    def mark_gradient(self, tensor: torch.Tensor) -> None:
        """This storage is the gradient of a weight."""
        known = self.alive.get(tensor.untyped_storage()._cdata)
        if known is not None:
            self.gradients.add(known[0])

    @contextmanager
    def inside(self, phase: TracedName) -> Iterator[None]:
        """Count what is made in here as part of `phase`."""
        before, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = before

    @contextmanager
    def made_by(self, name: str) -> Iterator[None]:
        """Count what is made in here under this name."""
        self.modules.append(name)
        try:
            yield
        finally:
            self.modules.remove(name)

    def _freed(self, key: int) -> None:
        serial, size, _ = self.alive.pop(key)
        self._end(serial, size)

    def _end(self, serial: int, size: int) -> None:
        self.events.append(Event(serial, -size, "", self.phase))
