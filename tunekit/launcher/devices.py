"""Which cards a run may use: CUDA_VISIBLE_DEVICES, which deepspeed ignores beside --num_gpus, as a list of indices."""

from __future__ import annotations

from collections.abc import Sequence

from tunekit.errors import MissingError, UsageError

VARIABLE = "CUDA_VISIBLE_DEVICES"


def chosen_devices(visible: str | None, world_size: int, uuids: Sequence[str] = ()) -> tuple[int, ...]:
    """Indices for deepspeed's --include, or () where the variable is not set and the first cards are taken.

    `visible` is the variable's value, `uuids` the cards' UUIDs in driver order (deepspeed reads indices only).
    UsageError: a part of a card (MIG) or an unknown name; MissingError: fewer cards than the plan has processes.
    """
    if visible is None:
        return ()
    names = [name.strip() for name in visible.split(",") if name.strip()]
    # As in CUDA, -1 hides itself and all that follow.
    shown = names[: names.index("-1")] if "-1" in names else names
    indices = tuple(dict.fromkeys(_index(name, uuids) for name in shown))
    if len(indices) < world_size:
        raise MissingError(
            f"the plan has {world_size} processes, one per GPU, but {VARIABLE}={visible!r} shows {len(indices)}; "
            f"unset {VARIABLE}, or name {world_size} cards in it."
        )
    return tuple(sorted(indices[:world_size]))


def _index(name: str, uuids: Sequence[str]) -> int:
    if name.startswith("MIG-"):
        raise UsageError(f"{VARIABLE} names {name}: DeepSpeed cannot use a slice of a card; name whole cards by index.")
    # Not isdigit alone: it holds for ² too.
    if name.isascii() and name.isdigit():
        found = [int(name)] if not uuids or int(name) < len(uuids) else []
    else:
        found = [index for index, uuid in enumerate(uuids) if uuid.startswith(name)]
    if len(found) != 1:
        known = ", ".join(f"{index} = {uuid}" for index, uuid in enumerate(uuids)) or "none seen"
        raise UsageError(f"{VARIABLE} names {name}: no card of this machine ({known}); name cards by index.")
    return found[0]
