"""Telling a path on this disk from a name on the hub, and what to say when the path is not there."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path

from tunekit.errors import UsageError

FILE_SUFFIXES = frozenset({".gguf", ".json", ".jsonl", ".csv", ".parquet", ".txt", ".arrow", ".yaml", ".safetensors"})
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_PAGE = re.compile(r"https?://[^/]+/(?:datasets/)?([\w.-]+/[\w.-]+)")
_NAMES_SHOWN = 8


def looks_local(path: str) -> bool:
    """Whether only a file or folder can be meant: it has a file's suffix, a leading `.`, `/` or `~`, or is deep."""
    if "://" in path:
        return False
    return path.startswith((".", "/", "~")) or path.count("/") > 1 or Path(path).suffix.lower() in FILE_SUFFIXES


def check_hub_id(path: str, *, key: str) -> None:
    """Raises UsageError where `path` can neither be on this disk nor on the hub."""
    if not _HUB_ID.fullmatch(path):
        page = _PAGE.match(path)
        raise UsageError(
            f"{key}: {path!r} is neither a file or folder here nor a hub id; a hub id is `owner/name`, "
            f"of letters, digits, - _ and ." + (f" Write {page[1]}" if page else "")
        )


def missing_path(path: str, *, key: str) -> UsageError:
    """The error for a path that is not there, with the nearest names beside it."""
    folder = Path(os.path.expanduser(path)).parent
    if not os.path.isdir(folder):
        return UsageError(f"{key}: {path} does not exist, nor does the folder {folder} (seen from {Path.cwd()}).")
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = get_close_matches(Path(path).name, names, n=3) or names[:_NAMES_SHOWN]
    beside = f" There: {', '.join(near)}." if near else " The folder is empty."
    return UsageError(f"{key}: {path} does not exist (seen from {Path.cwd()}).{beside}")


def listing(folder: Path) -> str:
    """The first names of a folder, for messages."""
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
