"""How long the samples of a local data file are, in tokens, without a tokenizer: from the bytes of their text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from tunekit.errors import TunekitError
from tunekit.recipe.data_check import PEEKED_ROWS
from tunekit.recipe.data_formats import Layout, RowError, conversation, plain_text, recognise
from tunekit.recipe.data_rows import READABLE, Row, data_files, read_rows
from tunekit.recipe.data_size import BYTES_PER_TOKEN
from tunekit.recipe.job import Samples
from tunekit.recipe.schema import DataSection
from tunekit.recipe.shipped import existing_path

MESSAGE_TOKENS = 5
"""What a chat template puts around a message: ChatML's `<|im_start|>`, role, line break, `<|im_end|>`, line break."""
SYSTEM_TOKENS = 20
"""What many chat templates put before a conversation that brings no system text: 21 tokens of SmolLM2, as many of
Qwen 2.5. An assumption: the templates of Mistral, and those of base models, put nothing there."""
READ_BYTES = 8 << 20
"""No more text than that is looked at: a look takes a tenth of a second at most."""
_Key: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of the first samples of a file; `whole` is true when there are no others."""

    tokens: tuple[int, ...]
    whole: bool
    templated: bool = False
    """A chat template writes more around them than their text; that is counted."""

    @property
    def counted(self) -> str:
        """How they were counted."""
        added = f", and for the chat template {MESSAGE_TOKENS} a turn and {SYSTEM_TOKENS} of a default system prompt"
        return f"at {BYTES_PER_TOKEN} bytes a token{f'{added} (assumed)' if self.templated else ''}"

    def total(self, longest: int) -> int:
        """Tokens of these samples, each cut at `longest`."""
        return sum(min(each, longest) for each in self.tokens)


def read_samples(data: DataSection, longest: int) -> Samples | None:
    """The mean length of the first samples of `data.path`, cut at `longest` tokens.

    None where it is not here, or nothing can be read from it: what is wrong with it is said elsewhere.
    """
    found = read_lengths(data)
    if found is None:
        return None
    count = len(found.tokens)
    which = f"all {count:,}" if found.whole else f"the first {count:,}"
    source = f"{which} of {data.path} {found.counted}"
    return Samples(mean_tokens=max(1, round(found.total(longest) / count)), source=source)


def read_lengths(data: DataSection) -> Lengths | None:
    """Tokens of the first `PEEKED_ROWS` samples of a local file, or of the first file of a folder; None as above."""
    path = existing_path(data.path)
    try:
        if path is None:
            return None
        file, single = (data_files(path, data.split)[0], False) if path.is_dir() else (path, True)
        if file.suffix not in READABLE or (path / "state.json").is_file():
            return None
        stat = file.stat()
        columns = tuple(sorted(data.columns.items()))
        found = _lengths(str(file), stat.st_mtime_ns, stat.st_size, data.format or "", columns, data.max_rows)
        return replace(found, whole=found.whole and single) if found.tokens else None
    except (TunekitError, RowError, OSError):
        return None


@lru_cache(maxsize=16)
def _lengths(file: str, changed: int, size: int, format: str, columns: _Key, most: int | None) -> Lengths:
    """`changed` and `size` tell one state of a file from the next."""
    limit = min(PEEKED_ROWS, most or PEEKED_ROWS)
    looked = [row for _, row in islice(read_rows(Path(file)), limit + 1)]
    data = DataSection.model_validate({"path": file, "format": format or None, "columns": dict(columns)})
    shown = looked[:limit]
    layout = recognise(tuple(dict.fromkeys(name for row in shown for name in row)), data, source=file)
    tokens = tuple(_few(shown, layout))
    whole = len(tokens) == len(looked) or len(tokens) == most
    return Lengths(tokens=tokens, whole=whole, templated=layout.format != "text")


def _few(rows: Iterable[Row], layout: Layout) -> Iterable[int]:
    left = READ_BYTES
    for row in rows:
        text, around = _text(row, layout)
        size = len(text.encode(errors="replace"))
        yield max(1, -(-size // BYTES_PER_TOKEN) + around)
        left -= size
        if left < 0:
            return


def _text(row: Row, layout: Layout) -> tuple[str, int]:
    """What a sample says, and the tokens that a template puts around it."""
    if layout.format == "text":
        return plain_text(row, layout), 0
    messages = conversation(row, layout)
    opening = SYSTEM_TOKENS if messages and messages[0]["role"] != "system" else 0
    return "".join(str(message["content"]) for message in messages), opening + MESSAGE_TOKENS * len(messages)
