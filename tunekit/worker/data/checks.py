"""What the rows are like, in numbers; what of it deserves a warning, and what must stop the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tunekit.errors import UsageError

MASKED_ROWS_ALLOWED = 0.01
"""Share of rows with nothing to learn from which on the run stops: so many are a mistake, not chance."""


COUNTED = ("length", "supervised", "digest", "ends", "doubled_bos", "unlearned_turns", "no_question")
"""What is counted of each row; a `RowEncoder` makes these columns beside the tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about the data or the tokenizer that the user should know, with its numbers."""

    level: Literal["note", "warning"]
    code: str
    text: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts over the rows that were looked at; tokens are counted after truncation unless said otherwise."""

    rows: int
    empty_rows: int
    """Rows without text or without an answer; they are dropped, and no other count holds them."""
    duplicate_rows: int
    masked_rows: int
    """Rows with text but without a token to learn, because the prompt fills max_seq_length or nothing is an answer."""
    truncated_rows: int
    rows_without_end: int
    """Rows whose answer is not followed by an end token."""
    doubled_bos_rows: int
    unlearned_turns: int
    """Earlier answers that the chat template renders differently later, so that they cannot be told apart."""
    rows_without_question: int
    """Rows whose answer follows an empty question; they are learned all the same."""
    tokens: int
    supervised_tokens: int
    tokens_lost: int
    longest: int
    """Tokens of the longest row before truncation."""
    length_for_99_percent: int
    """The max_seq_length that keeps 99 % of the rows whole, rounded up to a multiple of 8."""
    max_seq_length: int

    @property
    def filled_rows(self) -> int:
        """Rows that are not empty: what all other counts are counts of."""
        return self.rows - self.empty_rows

    @property
    def usable_rows(self) -> int:
        """Rows that something is learned from."""
        return self.filled_rows - self.masked_rows


def statistics(columns: dict[str, Sequence[int]], *, max_seq_length: int, cut: bool = True) -> Statistics:
    """Counts from the columns that `RowEncoder` makes beside the tokens; `cut` is False where long rows are split."""
    length, supervised, digest, ends, doubled, unlearned, no_question = (np.asarray(columns[name]) for name in COUNTED)
    filled = length > 0
    taught = filled & (supervised > 0)
    kept = np.minimum(length, max_seq_length) if cut else length
    whole = float(np.quantile(length[filled], 0.99, method="higher")) if filled.any() else 0.0
    return Statistics(
        rows=len(length),
        empty_rows=int((~filled).sum()),
        duplicate_rows=int(filled.sum() - len(np.unique(digest[filled]))),
        masked_rows=int((filled & ~taught).sum()),
        truncated_rows=int((length > kept).sum()),
        rows_without_end=int((taught & (ends == 0)).sum()),
        doubled_bos_rows=int(doubled.sum()),
        unlearned_turns=int(unlearned.sum()),
        rows_without_question=int((filled & (no_question > 0)).sum()),
        tokens=int(kept.sum()),
        supervised_tokens=int(supervised.sum()),
        tokens_lost=int((length - kept).sum()),
        longest=int(length.max(initial=0)),
        length_for_99_percent=-(-int(whole) // 8) * 8,
        max_seq_length=max_seq_length,
    )


def refuse(found: Statistics, *, source: str) -> None:
    """Raise UsageError where too little can be learned: no rows, only empty ones, or too many fully masked ones."""
    if found.rows == 0:
        raise UsageError(f"{source}: the data set holds no rows")
    if found.empty_rows == found.rows:
        raise UsageError(f"{source}: all {found.rows} rows are empty or hold no answer")
    share = found.masked_rows / found.filled_rows
    if share > MASKED_ROWS_ALLOWED:
        raise UsageError(
            f"{source}: {_of(found.masked_rows, found)} ({share:.1%}) have no token to learn: their prompt "
            f"fills all {found.max_seq_length} tokens. Type train.max_seq_length={found.length_for_99_percent} to keep "
            "99 % of the rows whole, or data.completion_only_loss=false to learn the prompts too, or drop these rows"
        )


def refuse_less_than_a_step(
    rows: int, *, epochs: float, global_batch_size: int, packed_from: int | None, source: str
) -> None:
    """Raise UsageError when all passes together do not fill one optimizer step of `global_batch_size` rows."""
    if rows * epochs >= global_batch_size:
        return
    packed = "" if packed_from is None else f" (packed from {packed_from} samples)"
    raise UsageError(
        f"{source}: {rows} rows{packed} x {epochs:g} epochs are less than one optimizer step of {global_batch_size} "
        f"rows. Type train.global_batch_size={max(1, int(rows * epochs))} or less, "
        f"train.num_epochs={-(-global_batch_size // rows)} or more, or set train.max_steps"
    )


def findings(found: Statistics) -> Iterator[Finding]:
    """What the counts say, worst first."""
    if found.masked_rows:
        yield _warning(
            "masked_rows",
            f"{_of(found.masked_rows, found)} have no token to learn and are dropped",
            rows=found.masked_rows,
        )
    if found.truncated_rows:
        share = found.tokens_lost / (found.tokens + found.tokens_lost)
        yield _warning(
            "truncated_rows",
            f"{_of(found.truncated_rows, found)} are longer than {found.max_seq_length} tokens and are cut: "
            f"{found.tokens_lost} tokens ({share:.1%}) are lost; "
            f"train.max_seq_length={found.length_for_99_percent} keeps 99 % of the rows whole",
            rows=found.truncated_rows,
            tokens_lost=found.tokens_lost,
            length_for_99_percent=found.length_for_99_percent,
        )
    if found.rows_without_end == found.usable_rows:
        yield _warning(
            "no_end_token",
            "no answer is followed by an end token: the model will not learn to stop; "
            "use a chat template that ends answers (model.chat_template)",
            rows=found.rows_without_end,
        )
    if found.doubled_bos_rows:
        yield _warning(
            "doubled_bos",
            f"{_of(found.doubled_bos_rows, found)} begin with the beginning token twice; "
            "take it out of the data or template",
            rows=found.doubled_bos_rows,
        )
    yield from _about_rows(found)


def _about_rows(found: Statistics) -> Iterator[Finding]:
    if found.unlearned_turns:
        yield _warning(
            "unlearned_turns",
            f"{found.unlearned_turns} earlier answers are not learned: the chat template renders them differently once "
            "another turn follows",
            turns=found.unlearned_turns,
        )
    if found.empty_rows:
        yield _warning(
            "empty_rows",
            f"{found.empty_rows:,} of {found.rows:,} rows are empty or hold no answer and are dropped: "
            f"{found.filled_rows:,} are left",
            rows=found.empty_rows,
        )
    if found.rows_without_question:
        yield _warning(
            "no_question",
            f"{_of(found.rows_without_question, found)} have an answer but an empty question and are learned as they "
            "are; if a column was missed, name it in data.columns",
            rows=found.rows_without_question,
        )
    if found.duplicate_rows:
        yield _warning(
            "duplicate_rows", f"{_of(found.duplicate_rows, found)} repeat an earlier row", rows=found.duplicate_rows
        )


def _of(count: int, found: Statistics) -> str:
    return f"{count:,} of {found.filled_rows:,} rows"


def _warning(code: str, text: str, **numbers: Any) -> Finding:
    return Finding(level="warning", code=code, text=text, numbers=numbers)
