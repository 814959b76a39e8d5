"""Which files of a repository are needed: no second copy of the weights, no other model's files."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TENSORS = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
_PICKLES = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")
_SMALL = ("config.json", "generation_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
_SMALL_STARTS = ("tokenizer", "chat_template", "vocab", "spiece", "preprocessor")
_SMALL_ENDS = (".jinja", ".py", ".model", ".tiktoken")
DATA_ENDS = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".gz", ".zst", ".zip")


def model_files(names: Iterable[str]) -> tuple[str, ...]:
    """Config, tokenizer, chat template and one set of weights, safetensors before .bin; empty without weights.

    Only the top folder counts: subfolders hold other formats (`original/`, `onnx/`). Only names that transformers
    loads count: Mistral's `consolidated` files and variants such as `model.fp16` are second copies.
    """
    top = [name for name in names if "/" not in name]
    weights = _weights(top)
    return tuple(name for name in top if name in weights or _is_small(name)) if weights else ()


def data_files(names: Iterable[str], configuration: str | None) -> tuple[str, ...]:
    """The data of a data set repository and its card; only `configuration`'s folder where there is one of that name."""
    kept = [name for name in names if name.lower().endswith(DATA_ENDS) or name == "README.md"]
    if configuration is None:
        return tuple(kept)
    inside = [name for name in kept if configuration in name.split("/")[:-1]]
    return tuple([*inside, *(name for name in kept if name == "README.md")]) if inside else tuple(kept)


def _weights(top: list[str]) -> frozenset[str]:
    tensors = [name for name in top if _TENSORS.fullmatch(name)]
    pickles = [name for name in top if _PICKLES.fullmatch(name)]
    return frozenset(tensors or pickles)


def _is_small(name: str) -> bool:
    return name in _SMALL or name.startswith(_SMALL_STARTS) or name.endswith(_SMALL_ENDS)
