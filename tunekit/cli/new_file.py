"""Files that a command writes for the user: never over one that is there."""

from __future__ import annotations

import os
from pathlib import Path

from tunekit.errors import UsageError
from tunekit.secrecy import redact


def refuse_existing(*targets: Path | None) -> None:
    """Before long work: UsageError for a file that `write_new` would not replace."""
    for target in targets:
        if target is not None and os.path.lexists(target):
            raise _is_there(target)


def write_new(target: Path, text: str) -> str:
    """Write a new file and its folder; what to add to the message where the folder was made.

    Raises UsageError and changes nothing when the file exists or cannot be written.
    """
    try:
        made = not target.parent.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        # "x" never replaces a file.
        with target.open("x", encoding="utf-8") as file:
            file.write(redact(text))
    except FileExistsError as error:
        raise _is_there(error.filename) from None
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}. Choose another place.") from None
    return f" (the folder {target.parent} was created)" if made else ""


def _is_there(name: object) -> UsageError:
    return UsageError(f"{name} exists and is not overwritten. Choose another name, or remove it first.")
