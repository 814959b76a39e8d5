"""The machines that are known by name: a YAML file each in `hardware/profiles/`; files of a user's own are read too."""

from __future__ import annotations

import os
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from tunekit.errors import UsageError
from tunekit.hardware.profile_file import hardware_from_yaml
from tunekit.hardware.spec import Hardware
from tunekit.limits import TEXT_BYTES, TooLarge, read_text

_FOLDER = Path(__file__).with_name("profiles")
LOCAL = "local"
"""The machine tunekit runs on; it is probed, not read (`probes.local`)."""

_TEMPLATE = "tunekit hardware copy NAME FILE writes one to change"


def profile_names() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def own_names(folder: Path) -> tuple[str, ...]:
    """Names of the profiles in a folder of the user's own, sorted; `local` is no profile but this machine."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml") if path.stem != LOCAL))


def load_profile(name_or_path: str, folder: Path | None = None) -> Hardware:
    """A shipped profile by name, one of the user's own in `folder`, or a YAML file.

    UsageError: no such name or file, with the nearest name, or a name that two profiles have; RecipeError: every fault
    in the file, with its line.
    """
    own = folder / f"{name_or_path}.yaml" if folder is not None else None
    is_own = own is not None and "/" not in name_or_path and os.path.isfile(own)
    if name_or_path in profile_names():
        if is_own:
            raise UsageError(f"hardware: {name_or_path} is shipped and {own} has the same name; rename that file.")
        return _shipped(name_or_path)
    if own is not None and is_own:
        return _from_file(own, str(own))
    path = Path(os.path.expanduser(name_or_path))
    if os.path.isfile(path):
        return _from_file(path, name_or_path)
    raise UsageError(_no_such(name_or_path, own_names(folder) if folder is not None else ()))


def profile_text(name: str) -> str:
    """A shipped profile as it is written, with its comments. UsageError: no such profile, with the nearest name."""
    if name not in profile_names():
        raise UsageError(_no_such(name, ()))
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


@cache
def _shipped(name: str) -> Hardware:
    return hardware_from_yaml(profile_text(name), name=name, file=f"{name}.yaml")


def _from_file(path: Path, given: str) -> Hardware:
    try:
        text = read_text(path, most=TEXT_BYTES)
    except (OSError, UnicodeDecodeError, TooLarge) as error:
        raise UsageError(f"{given}: cannot be read ({error}); it must be a YAML file in UTF-8.") from None
    return hardware_from_yaml(text, name=path.stem, file=given)


def _no_such(given: str, own: tuple[str, ...]) -> str:
    if given.endswith((".yaml", ".yml")) or "/" in given:
        return f"hardware: there is no file {given}; tunekit hardware lists the profiles that are shipped; {_TEMPLATE}."
    near = _nearest(given, own)
    hint = f" Did you mean {near}?" if near else ""
    names = ", ".join((*profile_names(), *own, LOCAL))
    return f"hardware: there is no profile {given}; allowed: {names}, or the path of a YAML file ({_TEMPLATE}).{hint}"


def _nearest(given: str, own: tuple[str, ...]) -> str | None:
    """The profile that is most like the name; of those that hold the whole name, the smallest: one card first."""
    wanted = _letters(given)
    holding = [name for name in profile_names() if wanted and wanted in _letters(name)]
    if holding:
        return min(holding, key=lambda name: (len(_shipped(name).gpus), name))
    return next(iter(get_close_matches(given, (*profile_names(), *own, LOCAL), n=1)), None)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
