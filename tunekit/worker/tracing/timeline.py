"""From the events of a step to its peaks. Nothing of torch here: a trace can be read, and tested, without it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from tunekit.memory.tracing import TracedModule, TracedName, TracedPhase


class Event(NamedTuple):
    """A storage was made (`size` above 0, by `module`) or freed (`size` below 0), in a part of the step."""

    serial: int
    size: int
    module: str
    phase: TracedName


def phase_peaks(events: Iterable[Event], gradients: Collection[int]) -> tuple[TracedPhase, ...]:
    """The peak of every part that occurs, in order of appearance; `gradients` are serials that are no activations."""
    activation = total = 0
    peaks: dict[TracedName, tuple[int, int]] = {}
    for event in events:
        total += event.size
        activation += 0 if event.serial in gradients else event.size
        before = peaks.get(event.phase, (0, 0))
        peaks[event.phase] = (max(before[0], activation), max(before[1], total))
    return tuple(
        TracedPhase(name=name, activation_bytes=own, with_gradients_bytes=both) for name, (own, both) in peaks.items()
    )


def modules_at_peak(events: Sequence[Event], gradients: Collection[int]) -> tuple[TracedModule, ...]:
    """Who made what is alive at the peak of activations of the training step; layers under one name, largest first."""
    makers: dict[int, Event] = {}
    for event in events[: _peak_index(events, gradients) + 1]:
        if event.size > 0:
            makers[event.serial] = event
        else:
            makers.pop(event.serial, None)
    sizes: Counter[str] = Counter()
    names: dict[str, set[str]] = {}
    for event in makers.values():
        if event.serial not in gradients:
            name = without_numbers(event.module)
            sizes[name] += event.size
            names.setdefault(name, set()).add(event.module)
    return tuple(TracedModule(name=name, count=len(names[name]), bytes=size) for name, size in sizes.most_common())


def without_numbers(name: str) -> str:
    """`model.layers.17.mlp` is `layers.*.mlp`; what PEFT puts around names goes."""
    plain = name.removeprefix("base_model.model.").removeprefix("model.").removeprefix("model.")
    plain = re.sub(r"\.(base_layer|default)(?=\.|$)", "", plain)
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", plain)


def extended(near: int, far: int, depths: tuple[int, int], layers: int) -> int:
    """The line through the peaks of two depths, at all layers."""
    per_layer = (far - near) / (depths[1] - depths[0])
    return round(far + per_layer * (layers - depths[1]))


def _peak_index(events: Sequence[Event], gradients: Collection[int]) -> int:
    now = best = index = 0
    for position, event in enumerate(events):
        now += 0 if event.serial in gradients else event.size
        if now > best and event.phase != "eval":
            best, index = now, position
    return index
