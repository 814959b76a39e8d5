"""Where the recipes, presets and data that come with tunekit lie: in a checkout, or inside the installed package."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (("recipes",), ("ds_configs",), ("examples",))
_SUFFIX = {"recipes": ".yaml", "ds_configs": ".json"}


def _root() -> Path:
    # The wheel carries its own copy; asking for it first keeps a foreign `recipes` folder in site-packages out.
    packaged = _PACKAGE / "shipped"
    return packaged if packaged.is_dir() else _PACKAGE.parent


def shipped_path(relative: str) -> Path | None:
    """Path of a shipped file such as `recipes/quickstart.yaml` or `ds_configs/z2.json`; None where there is none."""
    inside = PurePosixPath(relative)
    if ".." in inside.parts or inside.parts[:1] not in _FOLDERS:
        return None
    path = _root() / inside
    return path if os.path.exists(path) else None


def shipped_names(folder: Literal["recipes", "ds_configs"]) -> tuple[str, ...]:
    """Names of the shipped recipes or presets, sorted, without their suffix."""
    return tuple(sorted(path.stem for path in (_root() / folder).glob(f"*{_SUFFIX[folder]}")))


def existing_path(path: str) -> Path | None:
    """What `path` names: a file or folder seen from here, else one that is shipped, else None."""
    # Unlike Path's, no error for a text too long for a file name, an unknown ~user or a folder that may not be read.
    here = Path(os.path.expanduser(path))
    return here if os.path.exists(here) else shipped_path(path)
