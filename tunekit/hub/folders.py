"""Is a model folder whole? Found out before any process is started, not by a traceback on every rank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunekit.errors import UsageError
from tunekit.hub.paths import listing
from tunekit.limits import CONFIG_BYTES, HEADER_BYTES, INDEX_BYTES, check_tree, of_values, read_text
from tunekit.units import format_bytes

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder. Raises UsageError saying what lies there instead."""
    path = folder / "config.json"
    if not path.is_file():
        raise UsageError(_without_config(folder))
    try:
        config = json.loads(read_text(path, most=CONFIG_BYTES))
        check_tree(config, of_values, most=CONFIG_BYTES)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as JSON: {error}. Fetch it again.") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path} holds no mapping of keys; it is not a model's config.json.")
    return config


def fault_of(folder: Path) -> str | None:
    """Why transformers could not load this folder (config, weights, tokenizer), or None."""
    if not (folder / "config.json").is_file():
        return _without_config(folder)
    index = next((folder / name for name in _INDEXES if (folder / name).is_file()), None)
    files = _weight_files(folder, index)
    if index and not files:
        return f"{index} is damaged: it names no weight files. Fetch it again"
    if not files:
        return f"{folder} has no weights (model.safetensors or pytorch_model.bin); found: {listing(folder)}"
    if any(map(_leads_outside, files)):
        return f"{index} is not to be trusted: it names weight files outside its folder. Fetch it again"
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        return f"{folder} lacks {len(missing)} of {len(files)} weight files: {', '.join(sorted(missing)[:5])}"
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        return f"{folder} has no tokenizer (tokenizer.json or tokenizer.model); found: {listing(folder)}"
    return next((fault for name in files if (fault := _cut_off(folder / name))), None)


def is_pickled(folder: Path) -> bool:
    """Whether the weights of a whole model folder are pickle files alone, which run code while they are read."""
    return not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json"))


def _mapping(path: Path) -> dict[str, Any]:
    """A JSON mapping; empty where the file is damaged."""
    try:
        content = json.loads(read_text(path, most=INDEX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _without_config(folder: Path) -> str:
    found = f"model.path: the folder {folder} has no config.json; found: {listing(folder)}."
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base = _mapping(adapter).get("base_model_name_or_path", "named in adapter_config.json")
        return f"{found} It holds an adapter: set model.path to its base model, {base}."
    ggufs = sorted(folder.glob("*.gguf"))
    if ggufs:
        return f"{found} Set model.path={ggufs[0]} to use the GGUF file."
    return f"{found} Set model.path to the folder that the model was saved in."


def _weight_files(folder: Path, index: Path | None) -> tuple[str, ...]:
    if index is None:
        return tuple(name for name in _SINGLE_FILES if (folder / name).is_file())[:1]
    files = _mapping(index).get("weight_map")
    named = files.values() if isinstance(files, dict) else ()
    return tuple(sorted({name if isinstance(name, str) else "/" for name in named}))


def _leads_outside(name: str) -> bool:
    """Whether an index names anything but a file beside it."""
    return name in ("", ".", "..") or any(letter in name for letter in "/\\\0")


def _cut_off(path: Path) -> str | None:
    """A safetensors file states its own length: 8 bytes, the header, and the last tensor's end."""
    if path.suffix != ".safetensors":
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, size, HEADER_BYTES + 1))
    try:
        if length > HEADER_BYTES:
            raise ValueError(f"a header of {length:,} bytes")
        tensors = json.loads(header)
        ends = (entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__")
        needed = 8 + length + int(max(ends, default=0))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"{path} is damaged: its header cannot be read. Fetch it again"
    if size == needed:
        return None
    return f"{path} is cut off: it has {format_bytes(size)} and should have {format_bytes(needed)}. Fetch it again"
