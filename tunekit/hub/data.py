"""Data sets: a file or folder here, one that is shipped, or a copy of a hub data set on this disk."""

from __future__ import annotations

import os
from pathlib import Path

from tunekit.errors import MissingError, UsageError
from tunekit.hub import remote
from tunekit.hub.archives import check_archives
from tunekit.hub.cache import snapshot
from tunekit.hub.choice import DATA_ENDS, data_files
from tunekit.hub.paths import check_hub_id, looks_local, missing_path
from tunekit.hub.remote import Repository, Unreachable, hub_here
from tunekit.recipe.shipped import existing_path

_KEY = "data.path"


def local_data_path(path: str, revision: str | None = None) -> str:
    """Where the data lies on this disk; `path` itself where it must be read from the hub. Never asks the network."""
    here = existing_path(path)
    if here is not None:
        return str(here)
    return str(snapshot(hub_here(), path, revision, "dataset") or path)


def fetch_data(path: str, name: str | None = None, revision: str | None = None) -> str:
    """Bring a data set to this disk once and say where it lies; `name` is a configuration of a hub data set.

    Raises UsageError where a local file is not there or cannot be read, MissingError where the hub does not have it.
    """
    check_data_path(path)
    here = existing_path(path)
    if here is not None:
        return str(_nonempty(here))
    repository = Repository(hub=hub_here(), name=path, revision=revision, kind="dataset")
    folder = _folder(repository, name)
    check_archives(folder)
    return str(folder)


def _folder(repository: Repository, name: str | None) -> Path:
    try:
        return _download(repository, name)
    except Unreachable as error:
        cached = _cached(repository, name)
        if cached is None:
            raise MissingError(
                f"{error} Set data.path to a file or folder here, or try again with a network."
            ) from error
        return cached


def check_data_path(path: str, *, key: str = _KEY) -> None:
    """UsageError where `path` is neither a file or folder that may be read nor a hub id. Never asks the network."""
    here = existing_path(path)
    if here is not None:
        if not os.access(here, os.R_OK):
            raise UsageError(f"{key}: {here} may not be read by this user. Type: chmod u+r {here}")
        return
    if looks_local(path):
        raise missing_path(path, key=key)
    check_hub_id(path, key=key)


def _nonempty(path: Path) -> Path:
    if path.is_file() and path.stat().st_size == 0:
        raise UsageError(f"{_KEY}: {path} is empty (0 bytes).")
    return path


def _cached(repository: Repository, name: str | None) -> Path | None:
    whole = remote.cached_folder(repository, [f"*{end}" for end in DATA_ENDS])
    if whole is not None or name is None:
        return whole
    return remote.cached_folder(repository, [f"{name}/*", f"*/{name}/*"])


def _download(repository: Repository, name: str | None) -> Path:
    sizes = remote.list_files(repository)
    wanted = data_files(sizes, name)
    if not any(file != "README.md" for file in wanted):
        kinds = ", ".join(DATA_ENDS)
        raise UsageError(
            f"{_KEY}: {repository.name} has no data files ({kinds}); data sets that run code of their own are not "
            f"read. See {repository.page}."
        )
    return remote.download(repository, wanted, sizes)
