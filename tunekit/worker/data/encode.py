"""Rows as the trainer wants them: token ids, and labels that are -100 wherever nothing is to be learned.

A row is rendered once, tokenised once (whole batches at a time), and its answers are found again by their character
positions. For one answer per row this gives the same ids and labels as TRL 1.16 (held by a contract test), in one pass
instead of four.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from os.path import commonprefix
from typing import Any

from jinja2 import TemplateError

from tunekit.errors import UsageError
from tunekit.recipe.data_formats import (
    Layout,
    Message,
    RowError,
    asks_something,
    conversation,
    plain_text,
    tools_of,
)
from tunekit.worker.data.checks import COUNTED
from tunekit.worker.data.sources import placed
from tunekit.worker.data.templates import fold_system, render

IGNORED = -100
"""The label of a token that the loss skips."""
VERSION = 3
"""Part of the cache key: raise it when the encoding changes."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row as text, with the parts to learn (from, to: characters) and the answers that could not be told apart."""

    text: str
    learned: tuple[Span, ...]
    unlearned_turns: int = 0
    asks: bool = True
    """False where an answer follows an empty question."""


EMPTY = Rendered("", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEncoder:
    """Turns a batch of raw rows into columns of equal length; a function of its arguments alone."""

    tokenizer: Any
    layout: Layout
    max_seq_length: int
    cut: bool
    """Cut rows at max_seq_length; False where packing splits them instead."""
    completion_only: bool
    template: str | None
    """For dialogues of several answers, where the tokenizer's own renders earlier answers differently later."""
    system_role: bool
    """False where the template has no system role; the system text then opens the first question."""
    source: str = ""
    """What the rows are read from, named in errors."""

    def __call__(self, batch: dict[str, list[Any]], positions: Sequence[int]) -> dict[str, list[Any]]:
        """Columns `input_ids`, `labels` and the counts that `checks.statistics` reads. Raises UsageError for a row."""
        rendered = [self._render(row, place) for place, row in placed(batch, positions)]
        encoded = [self._encode(*pair) for pair in zip(rendered, self._tokenise(rendered), strict=True)]
        return {name: [row[name] for row in encoded] for name in COLUMNS}

    def _render(self, row: dict[str, Any], place: str) -> Rendered:
        where = f"{self.source}: {place}" if self.source else place
        missing = [theirs for theirs in self.layout.needed.values() if theirs not in row]
        if missing:
            raise UsageError(f"{where}: column `{missing[0]}` is missing; the row has {', '.join(row) or 'none'}")
        try:
            return self._text(row) if self.layout.format == "text" else self._chat(row)
        except (RowError, TemplateError) as error:
            raise UsageError(f"{where}: {error}") from error

    def _text(self, row: dict[str, Any]) -> Rendered:
        text = plain_text(row, self.layout)
        if not text.strip():
            return EMPTY
        end = self.tokenizer.eos_token
        text = text if text.endswith(end) else text + end
        return Rendered(text, ((0, len(text)),))

    def _chat(self, row: dict[str, Any]) -> Rendered:
        messages = conversation(row, self.layout)
        if not messages:
            return EMPTY
        messages = messages if self.system_role else fold_system(messages)
        answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        template = self.template if len(answers) > 1 else None
        show = partial(render, self.tokenizer, template=template, tools=tools_of(row, self.layout))
        text = show(messages)
        if not self.completion_only:
            return Rendered(text, ((0, len(text)),), asks=asks_something(messages))
        spans = [answer_span(messages, index, text, show) for index in answers]
        learned = tuple(span for span in spans if span)
        return Rendered(text, learned, spans.count(None), asks=asks_something(messages))

    def _tokenise(self, rendered: Sequence[Rendered]) -> list[tuple[list[int], list[Span]]]:
        # A chat template writes the beginning token itself; adding it again would double it.
        special = self.layout.format == "text"
        if not self.tokenizer.is_fast:
            return [self._tokenise_slowly(row, special) for row in rendered]
        made = self.tokenizer(
            [row.text for row in rendered],
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        return list(zip(made["input_ids"], made["offset_mapping"], strict=True))

    def _tokenise_slowly(self, row: Rendered, special: bool) -> tuple[list[int], list[Span]]:
        """For tokenizers that do not tell where a token stands: only its place between the borders is found."""
        ids = self.tokenizer(row.text, add_special_tokens=special)["input_ids"]
        borders = sorted({0, len(row.text), *(edge for span in row.learned for edge in span)})
        before = [
            len(commonprefix((self.tokenizer(row.text[:border], add_special_tokens=special)["input_ids"], ids)))
            for border in borders[1:-1]
        ]
        counts = [0, *before, len(ids)]
        pieces = zip(borders, borders[1:], counts, counts[1:], strict=False)
        return ids, [(start, stop) for start, stop, first, last in pieces for _ in range(first, last)]

    def _encode(self, row: Rendered, tokens: tuple[list[int], list[Span]]) -> dict[str, Any]:
        ids, offsets = tokens if row is not EMPTY else ([], [])
        labels = labels_of(ids, offsets, row.learned)
        kept = slice(self.max_seq_length if self.cut else None)
        return {
            "input_ids": ids[kept],
            "labels": labels[kept],
            "length": len(ids),
            # The first token is never predicted.
            "supervised": sum(label != IGNORED for label in labels[kept][1:]),
            "digest": int.from_bytes(hashlib.blake2b(row.text.encode(), digest_size=8).digest(), "big", signed=True),
            "ends": int(self._ends(labels)),
            "doubled_bos": int(len(ids) > 1 and ids[0] == ids[1] == self.tokenizer.bos_token_id),
            "unlearned_turns": row.unlearned_turns,
            "no_question": int(not row.asks),
        }

    def _ends(self, labels: Sequence[int]) -> bool:
        """True when the last learned token that is no white space is one that ends an answer."""
        ends = end_tokens(self.tokenizer)
        for label in reversed(labels):
            if label in ends:
                return True
            if label != IGNORED and self.tokenizer.decode([label]).strip():
                return False
        return False


COLUMNS = ("input_ids", "labels", *COUNTED)
"""What a `RowEncoder` makes of each row."""


def answer_span(messages: list[Message], index: int, text: str, show: Callable[..., str]) -> Span | None:
    """Where in `text` the answer `messages[index]` stands; None where the template renders it differently later."""
    prompt = show(messages[:index], answer_next=True) if index else ""
    if index == len(messages) - 1:
        return len(commonprefix((prompt, text))), len(text)
    until = show(messages[: index + 1])
    return (len(prompt), len(until)) if text.startswith(until) and until.startswith(prompt) else None


def labels_of(ids: Sequence[int], offsets: Sequence[Span], learned: Sequence[Span]) -> list[int]:
    """The ids inside the learned characters, -100 elsewhere; a token across the border belongs to the answer.

    `offsets` hold each token's first character and the one after its last, in ascending order.
    """
    labels = [IGNORED] * len(ids)
    starts, stops = [start for start, _ in offsets], [stop for _, stop in offsets]
    for begin, end in learned:
        first = bisect_right(stops, begin) if begin else 0
        last = bisect_left(starts, end)
        labels[first:last] = ids[first:last]
    return labels


def end_tokens(tokenizer: Any) -> frozenset[int]:
    """Tokens that may end an answer: the end token and every special token added to the vocabulary."""
    return frozenset({tokenizer.eos_token_id, *tokenizer.get_added_vocab().values()})
