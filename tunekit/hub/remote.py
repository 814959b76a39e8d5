"""The hub itself: the one place that opens a connection. What can go wrong is one sentence with the way out."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tunekit.errors import MissingError, TunekitError
from tunekit.hub.cache import Hub, Kind, hub_of
from tunekit.model_shape import catalogue
from tunekit.units import format_bytes

Result = TypeVar("Result")

ANSWER_SECONDS = 4.0
"""A hub that has not answered by then is not reached: name look-ups and silent networks can hang for minutes."""


class Unreachable(MissingError):
    """The hub does not answer: no network, or HF_HUB_OFFLINE is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository on a hub, as the recipe names it."""

    hub: Hub
    name: str
    revision: str | None
    kind: Kind = "model"

    @property
    def page(self) -> str:
        """Its web page."""
        return f"{self.hub.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"

    @property
    def host(self) -> str:
        """The hub's name without https://."""
        return urlsplit(self.hub.endpoint).netloc


def list_files(repository: Repository) -> Mapping[str, int]:
    """Every file with its bytes. Raises Unreachable within seconds, else MissingError for what is not there."""
    from huggingface_hub import HfApi

    def ask() -> Any:
        return HfApi(endpoint=repository.hub.endpoint).repo_info(
            repository.name,
            repo_type=repository.kind,
            revision=repository.revision,
            timeout=ANSWER_SECONDS,
            files_metadata=True,
        )

    try:
        info = _within(ANSWER_SECONDS + 0.5, ask)
    except Exception as error:
        raise explain(error, repository) from error
    return {file.rfilename: int(file.size or 0) for file in info.siblings or ()}


def check_access(repository: Repository) -> None:
    """Ask whether this user may have the repository. Raises as `list_files`, MissingError for a gated one."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=repository.hub.endpoint)
    try:
        _within(ANSWER_SECONDS + 0.5, lambda: api.auth_check(repository.name, repo_type=repository.kind))
    except Exception as error:
        raise explain(error, repository) from error


def download(repository: Repository, names: Sequence[str], sizes: Mapping[str, int]) -> Path:
    """Bring the named files to the cache, with huggingface_hub's progress bars; the folder they lie in.

    What is in the cache already is not fetched again. Raises MissingError where the disk is too small, access is not
    granted, or the connection breaks.
    """
    from huggingface_hub import snapshot_download

    _check_disk(repository, names, sizes)
    try:
        folder = snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=list(names),
            cache_dir=repository.hub.cache,
            endpoint=repository.hub.endpoint,
        )
    except Exception as error:
        raise explain(error, repository) from error
    return Path(folder)


def cached_folder(repository: Repository, patterns: Sequence[str]) -> Path | None:
    """The cached folder where every file of these patterns is whole, or None; never asks the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=list(patterns),
            cache_dir=repository.hub.cache,
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return None
    return Path(folder)


def download_file(repository: Repository, name: str) -> Path:
    """Bring one small file to the cache. Raises as `download`."""
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            repository.name,
            name,
            repo_type=repository.kind,
            revision=repository.revision,
            cache_dir=repository.hub.cache,
            endpoint=repository.hub.endpoint,
        )
    except Exception as error:
        raise explain(error, repository) from error
    return Path(path)


def explain(error: Exception, repository: Repository) -> TunekitError:
    """huggingface_hub's error as one sentence for the user; the order matters, gated is a kind of not found."""
    from huggingface_hub import errors

    name, page = repository.name, repository.page
    if isinstance(error, errors.OfflineModeIsEnabled):
        return Unreachable(f"{name} is not on this disk, and HF_HUB_OFFLINE is set. Unset it, or fetch {name} first.")
    if isinstance(error, errors.GatedRepoError):
        return MissingError(way_in(repository, "and run the same command again"))
    if isinstance(error, errors.RepositoryNotFoundError):
        return MissingError(_not_found(repository))
    if isinstance(error, errors.RevisionNotFoundError):
        return MissingError(f"{name} has no revision {repository.revision}; its branches and tags are at {page}.")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        return MissingError(f"{repository.host} answered {status} for {name}. Try again later, or see {page}.")
    if isinstance(error, errors.HFValidationError):
        return MissingError(f"{name} is not a name the hub can have: {error}")
    return Unreachable(f"{name} cannot be fetched: {repository.host} is not reached ({_reason(error)}).")


def way_in(repository: Repository, when: str) -> str:
    """How access to a gated repository is had."""
    return (
        f"{repository.name} is gated: its owner grants access. Ask for it at {repository.page}, then type "
        f"`hf auth login` (or set HF_TOKEN) {when}."
    )


def _not_found(repository: Repository) -> str:
    near = catalogue.nearest(repository.name) if repository.kind == "model" else ()
    hint = f" Nearest names known: {', '.join(near)}." if near else ""
    return (
        f"{repository.name} does not exist on {repository.host}, or is private, and it is no folder here.{hint} "
        "If it is private, type `hf auth login` (or set HF_TOKEN) and run the same command again."
    )


def _reason(error: BaseException) -> str:
    """The first cause, without the library's advice around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r"^\[Errno -?\d+\] ", "", str(error).strip())
    return text.splitlines()[0] if text else type(error).__name__


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """`call()`, given up after `seconds`: the system's look-up of a host name knows no time limit of its own."""
    results: list[Result] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            results.append(call())
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return results[0]


def _check_disk(repository: Repository, names: Sequence[str], sizes: Mapping[str, int]) -> None:
    from huggingface_hub import try_to_load_from_cache

    def is_here(name: str) -> bool:
        found = try_to_load_from_cache(
            repository.name,
            name,
            cache_dir=repository.hub.cache,
            revision=repository.revision,
            repo_type=repository.kind,
        )
        return isinstance(found, str)

    needed = sum(sizes[name] for name in names if not is_here(name))
    folder = next(parent for parent in (repository.hub.cache, *repository.hub.cache.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MissingError(
            f"{repository.name} needs {format_bytes(needed)} on disk, and {repository.hub.cache} has "
            f"{format_bytes(free)} free. Free some, or put the cache on another disk: HF_HOME=/path/on/it."
        )


def hub_here() -> Hub:
    """The hub that this process's environment names."""
    return hub_of(os.environ)
