"""Which checkpoints stay: the newest ones, and the newest that has proven itself."""

from __future__ import annotations

from pathlib import Path

from tunekit.launcher.checkpoints import DOUBT
from tunekit.worker.journal import write_json
from tunekit.worker.saving import sealed_checkpoints, step_of, unseal


def drop_old(folder: Path, *, keep: int, proven_below: int | None = None) -> None:
    """Remove all complete checkpoints but the `keep` newest and the newest of a step below `proven_below`.

    None: nobody asks what has proven itself. A doubtful one is not counted; it goes when the run has passed it. Rank 0
    alone.
    """
    sealed = sealed_checkpoints(folder)
    sound = [path for path in sealed if not (path / DOUBT).exists()]
    proven = [path for path in sound if proven_below is not None and step_of(path) < proven_below]
    newest = max(map(step_of, sound), default=0)
    for old in sealed:
        if step_of(old) < newest and old not in (*sound[-keep:], *proven[-1:]):
            unseal(old)


def set_aside(folder: Path, *, proven_below: int, reason: str) -> Path | None:
    """Mark the checkpoints that have not proven themselves, so that none goes on from them; gives the newest good one.

    Nothing is removed: `doubtful.json` in them says why, and who knows better deletes it.
    """
    sealed = sealed_checkpoints(folder)
    for path in sealed:
        if step_of(path) >= proven_below:
            write_json(path / DOUBT, {"reason": f"saved when the run had gone wrong: {reason}"})
    return next((path for path in reversed(sealed) if step_of(path) < proven_below), None)
