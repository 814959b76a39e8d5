"""How many tokens a local data file holds, without reading it."""

from __future__ import annotations

from pathlib import Path

from tunekit.errors import UsageError
from tunekit.recipe.data_rows import READABLE, data_files, ending
from tunekit.recipe.shipped import existing_path

BYTES_PER_TOKEN = 4
"""English text, and in a large vocabulary any: 3.4 to 4.9 bytes a token in five vocabularies of 32,000 to 152,000 words
and most of 33 languages, by `benchmarks/token_lengths.py`."""


def estimate_tokens(path: str) -> int:
    """Bytes of the file, or of the data files of a folder, over `BYTES_PER_TOKEN`.

    UsageError: there is no such file here, or it is packed, so that its size tells nothing.
    """
    found = existing_path(path)
    if found is None:
        raise UsageError(f"--data {path}: there is no such file or folder here; say how many tokens with --tokens N.")
    files = data_files(found) if found.is_dir() else (found,)
    if any(ending(file) not in READABLE for file in files):
        raise UsageError(f"--data {path}: its size does not tell how many tokens it holds; say it with --tokens N.")
    return max(1, sum(_size(file) for file in files) // BYTES_PER_TOKEN)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
