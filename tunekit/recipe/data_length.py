"""How long the samples of a local data file are, in tokens, without a tokenizer: from the bytes of their text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TypeAlias

from tunekit.errors import TunekitError
from tunekit.recipe.data_check import PEEKED_ROWS
from tunekit.recipe.data_formats import Layout, RowError, conversation, plain_text, recognise
from tunekit.recipe.data_rows import READABLE, Row, data_files, ending, read_measured, saved_by_datasets
from tunekit.recipe.data_size import BYTES_PER_TOKEN
from tunekit.recipe.job import Samples
from tunekit.recipe.schema import DataSection
from tunekit.recipe.shipped import existing_path

MESSAGE_TOKENS = 5
"""What a chat template puts around a message: ChatML's `<|im_start|>`, role, line break, `<|im_end|>`, line break."""
SYSTEM_TOKENS = 20
"""What many chat templates put before a conversation that brings no system text: 21 tokens of SmolLM2, as many of
Qwen 2.5. An assumption: the templates of Mistral, and those of base models, put nothing there."""
LARGE_VOCABULARY = 100_000
"""Words from which on a vocabulary has room for other scripts than Latin."""
OTHER_BYTES_PER_TOKEN = 2
"""In a smaller vocabulary, of what is not ASCII: the median of Llama 2's kind and SmolLM2's over 20 languages in other
scripts (1 to 3.2), by `benchmarks/token_lengths.py`."""
READ_BYTES = 8 << 20
"""Of no more text than that tokens are counted."""
LOOKED_BYTES = 64 << 20
"""No more of a file is read: a look takes half a second at most."""
_Key: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of the first samples of a file; `whole` is true when there are no others."""

    tokens: tuple[int, ...]
    whole: bool
    rows: int
    """Samples in all: counted, or, of more than were looked at, told by the size of the files."""
    templated: bool = False
    """A chat template writes more around them than their text; that is counted."""
    dense: bool = False
    """Some of the text is not ASCII, and the vocabulary small."""

    @property
    def counted(self) -> str:
        """How they were counted."""
        added = f", and for the chat template {MESSAGE_TOKENS} a turn and {SYSTEM_TOKENS} of a default system prompt"
        dense = f", {OTHER_BYTES_PER_TOKEN} of what is not ASCII as the model's vocabulary is small"
        told = f"at {BYTES_PER_TOKEN} bytes a token{dense if self.dense else ''}"
        return f"{told}{f'{added} (assumed)' if self.templated else ''}"

    def total(self, longest: int) -> int:
        """Tokens of these samples, each cut at `longest`."""
        return sum(min(each, longest) for each in self.tokens)


def text_tokens(text: str, vocabulary: int) -> int:
    """About how many tokens a text is, in a vocabulary of so many words."""
    size = len(text.encode(errors="replace"))
    if vocabulary >= LARGE_VOCABULARY or text.isascii():
        return -(-size // BYTES_PER_TOKEN)
    plain = len(text.encode("ascii", "ignore"))
    return ceil(plain / BYTES_PER_TOKEN + (size - plain) / OTHER_BYTES_PER_TOKEN)


def read_samples(data: DataSection, longest: int, vocabulary: int) -> Samples | None:
    """The mean length of the first samples of `data.path`, cut at `longest` tokens; of a vocabulary of so many words.

    None where it is not here, or nothing can be read from it: what is wrong with it is said elsewhere.
    """
    found = read_lengths(data, vocabulary)
    if found is None:
        return None
    count = len(found.tokens)
    which = f"all {count:,}" if found.whole else f"the first {count:,}"
    source = f"{which} of {data.path} {found.counted}"
    return Samples(mean_tokens=max(1, round(found.total(longest) / count)), source=source)


def read_lengths(data: DataSection, vocabulary: int) -> Lengths | None:
    """Tokens of the first `PEEKED_ROWS` samples of a local file, or of the first file of a folder; None as above."""
    path = existing_path(data.path)
    try:
        if path is None:
            return None
        if saved_by_datasets(path):
            return None
        files = data_files(path, data.split) if path.is_dir() else (path,)
        file = files[0]
        if ending(file) not in READABLE:
            return None
        stat = file.stat()
        columns = tuple(sorted(data.columns.items()))
        state = (stat.st_mtime_ns, stat.st_size)
        found = _lengths(str(file), state, data.format or "", columns, data.max_rows, vocabulary)
        return _of_all(found, files, data.max_rows) if found and found.tokens else None
    except (TunekitError, OSError):
        return None


@lru_cache(maxsize=16)
def _lengths(
    file: str, state: tuple[int, int], format: str, columns: _Key, most: int | None, vocabulary: int
) -> Lengths | None:
    """`state`, when it was changed and its size, tells one state of a file from the next; None: it cannot be read."""
    try:
        return _counted(file, state[1], format, columns, most, vocabulary)
    except (TunekitError, RowError, OSError):
        return None


def _counted(file: str, size: int, format: str, columns: _Key, most: int | None, vocabulary: int) -> Lengths:
    limit = min(PEEKED_ROWS, most or PEEKED_ROWS)
    looked, taken, ended = _look(Path(file), limit)
    data = DataSection.model_validate({"path": file, "format": format or None, "columns": dict(columns)})
    layout = recognise(tuple(dict.fromkeys(name for row in looked for name in row)), data, source=file)
    read = tuple(_few(looked, layout))
    whole = (ended and len(read) == len(looked)) or len(read) == most
    return Lengths(
        tokens=tuple(max(1, text_tokens(text, vocabulary) + around) for text, around in read),
        whole=whole,
        rows=len(looked) if ended else round(len(looked) * size / max(1, taken)),
        templated=layout.format != "text",
        dense=vocabulary < LARGE_VOCABULARY and not all(text.isascii() for text, _ in read),
    )


def _of_all(found: Lengths, files: Sequence[Path], most: int | None) -> Lengths:
    """What the first of several files tells of all of them."""
    sizes = [each.stat().st_size for each in files]
    rows = round(found.rows * sum(sizes) / max(1, sizes[0]))
    return replace(found, whole=found.whole and (len(files) == 1 or found.rows == most), rows=min(rows, most or rows))


def _look(file: Path, most: int) -> tuple[list[Row], int, bool]:
    """The first rows, the bytes that they take, and whether there are no others."""
    found: list[Row] = []
    taken = 0
    for _, row, end in read_measured(file):
        if len(found) == most or taken > LOOKED_BYTES:
            return found, taken, False
        found.append(row)
        taken = end
    return found, taken, True


def _few(rows: Iterable[Row], layout: Layout) -> Iterable[tuple[str, int]]:
    """What the first rows say, and the tokens around it."""
    left = READ_BYTES
    for row in rows:
        text, around = _text(row, layout)
        yield text, around
        left -= len(text.encode(errors="replace"))
        if left < 0:
            return


def _text(row: Row, layout: Layout) -> tuple[str, int]:
    """What a sample says, and the tokens that a template puts around it."""
    if layout.format == "text":
        return plain_text(row, layout), 0
    messages = conversation(row, layout)
    opening = SYSTEM_TOKENS if messages and messages[0]["role"] != "system" else 0
    return "".join(str(message["content"]) for message in messages), opening + MESSAGE_TOKENS * len(messages)
