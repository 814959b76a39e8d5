"""From the recipe to the rows the trainer reads: open, recognise, tokenise once, check, hold out, pack."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import datasets
from datasets import Dataset, IterableDataset
from trl import pack_dataset

from tunekit.errors import UsageError
from tunekit.recipe.data_check import PEEKED_ROWS
from tunekit.recipe.data_formats import recognise
from tunekit.recipe.job import Job
from tunekit.recipe.schema import DataFormat, DataSection, Recipe
from tunekit.recipe.shipped import existing_path
from tunekit.units import MIB
from tunekit.worker.data.checks import (
    COUNTED,
    Finding,
    Statistics,
    findings,
    refuse,
    refuse_less_than_a_step,
    statistics,
)
from tunekit.worker.data.encode import COLUMNS, IGNORED, VERSION, RowEncoder
from tunekit.worker.data.sources import RawRows, Rows, open_rows
from tunekit.worker.data.templates import prepare_tokenizer, takes_system, training_template

BYTES_WORTH_A_BAR = 32 * MIB
SHOWN_CHARACTERS = 1200
SHUFFLED_ROWS = 1000
"""Rows of a stream that are mixed at a time."""

Report = Callable[[str, dict[str, Any]], None]
"""Called with the name of an event (`data`, `warning`) and its fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedData:
    """Rows ready for the trainer, with TRL's own preparation switched off (`skip_prepare_dataset`).

    `train` and `eval` have the columns `input_ids` and `labels`, at most max_seq_length long; packed ones `seq_lengths`
    too, which a padding-free collator turns into positions that keep samples apart.
    """

    train: Rows
    eval: Rows | None
    format: DataFormat
    completion_only_loss: bool
    packed: bool
    streaming: bool
    num_samples: int | None
    """Samples to train on: without the empty rows and those held out, before packing; None for a stream."""
    num_rows: int | None
    """Rows of one epoch after packing; None for a stream."""
    statistics: Statistics
    """Over all rows, or over the first thousand of a stream."""
    example: str
    """The first row as the model sees it."""
    pad_token_id: int


def load_datasets(recipe: Recipe, job: Job, tokenizer: Any, *, report: Report) -> PreparedData:
    """Everything to train and evaluate on. The tokenizer gets a template and a padding token where it lacks them.

    Call it on rank 0 first and then on the others: they find rank 0's result in the cache. Raises UsageError
    (RecipeError for columns) for data that cannot be learned from, MissingError for hub data that is not there.
    """
    _quieten(recipe.data)
    opened = _Opened.open(recipe, job, tokenizer)
    _tell(report, opened.remarks)
    train = _tokenised(opened, recipe.data.path, opened.raw.rows)
    refuse(train.statistics, source=recipe.data.path)
    _tell(report, findings(train.statistics))
    train_rows, eval_rows = _held_out(opened, train.rows)
    samples = len(train_rows) if isinstance(train_rows, Dataset) else None
    train_rows, eval_rows = (_packed(rows, job, cut=opened.encoder.cut) for rows in (train_rows, eval_rows))
    prepared = PreparedData(
        train=train_rows,
        eval=eval_rows,
        format=opened.encoder.layout.format,
        completion_only_loss=opened.encoder.completion_only,
        packed=job.packing,
        streaming=recipe.data.streaming,
        num_samples=samples,
        num_rows=len(train_rows) if isinstance(train_rows, Dataset) else None,
        statistics=train.statistics,
        example=tokenizer.decode(train.first["input_ids"], skip_special_tokens=False),
        pad_token_id=tokenizer.pad_token_id,
    )
    _refuse_too_few(prepared, recipe, job)
    report("data", _event(prepared, opened, train, tokenizer))
    return prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """The raw rows and how they will be encoded."""

    recipe: Recipe
    raw: RawRows
    encoder: RowEncoder
    remarks: tuple[Finding, ...]

    @classmethod
    def open(cls, recipe: Recipe, job: Job, tokenizer: Any) -> _Opened:
        raw = open_rows(recipe.data.path, recipe.data)
        layout = recognise(raw.columns, recipe.data, source=recipe.data.path)
        chats = layout.format != "text"
        remarks = tuple(prepare_tokenizer(tokenizer, chats=chats))
        encoder = RowEncoder(
            tokenizer=tokenizer,
            layout=layout,
            max_seq_length=job.max_seq_length,
            # Text has no answer whose end must stay with its question: packing may go on in the next row.
            cut=chats or not job.packing,
            completion_only=chats and job.completion_only_loss,
            template=training_template(tokenizer) if chats else None,
            system_role=takes_system(tokenizer) if chats else True,
        )
        return cls(recipe=recipe, raw=raw, encoder=encoder, remarks=remarks)

    def count(self, columns: dict[str, Any]) -> Statistics:
        return statistics(columns, max_seq_length=self.encoder.max_seq_length, cut=self.encoder.cut)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokenised:
    """Rows of tokens that something can be learned from, what they are like, and the first of them."""

    rows: Rows
    statistics: Statistics
    first: Mapping[str, Any]


def _quieten(data: DataSection) -> None:
    """Progress bars only where they are worth a line of the log."""
    path = existing_path(data.path)
    files = [path] if path and path.is_file() else path.rglob("*") if path else []
    if path and sum(file.stat().st_size for file in files) < BYTES_WORTH_A_BAR:
        datasets.disable_progress_bars()


def _tokenised(opened: _Opened, source: str, rows: Rows) -> _Tokenised:
    if isinstance(rows, Dataset):
        return _all_at_once(opened, source, rows)
    return _as_a_stream(opened, source, rows)


def _all_at_once(opened: _Opened, source: str, rows: Dataset) -> _Tokenised:
    encoder = replace(opened.encoder, source=source)
    encoded = rows.map(
        encoder,
        batched=True,
        with_indices=True,
        remove_columns=rows.column_names,
        # datasets would hash the tokenizer, whose state changes with use: the second start would not find the first.
        new_fingerprint=fingerprint(rows, encoder),
    )
    counts = encoded.with_format("numpy")
    found = opened.count({name: counts[name][:] for name in COUNTED})
    refuse(found, source=source)
    kept = encoded
    if found.usable_rows < found.rows:
        kept = encoded.select((counts["supervised"][:] > 0).nonzero()[0])
    return _Tokenised(rows=kept.select_columns(["input_ids", "labels"]), statistics=found, first=kept[0])


def _as_a_stream(opened: _Opened, source: str, rows: IterableDataset) -> _Tokenised:
    """Rows without an end: ranks that read different files would reach theirs at different steps, and wait for ever."""
    encoder = replace(opened.encoder, source=source)
    probe = list(islice(rows, PEEKED_ROWS))
    made = encoder({name: [row[name] for row in probe] for name in probe[0]}, range(len(probe)))
    found = opened.count({name: made[name] for name in COUNTED})
    refuse(found, source=source)
    first = next(index for index, count in enumerate(made["supervised"]) if count)
    endless = rows.shuffle(seed=opened.recipe.train.seed, buffer_size=SHUFFLED_ROWS).repeat(None)
    encoded = endless.map(encoder, batched=True, with_indices=True, remove_columns=list(probe[0]))
    kept = encoded.filter(lambda row: row["supervised"] > 0)
    return _Tokenised(
        rows=kept.select_columns(["input_ids", "labels"]),
        statistics=found,
        first={name: made[name][first] for name in COLUMNS},
    )


def _held_out(opened: _Opened, rows: Rows) -> tuple[Rows, Rows | None]:
    data = opened.recipe.data
    if data.eval_path:
        # A few rows, read whole: every rank needs the same number of batches.
        eval_rows = open_rows(data.eval_path, data.model_copy(update={"streaming": False}))
        layout = recognise(eval_rows.columns, data, source=data.eval_path)
        if layout != opened.encoder.layout:
            raise UsageError(
                f"data.eval_path: {data.eval_path} is read as {layout.format} with the columns "
                f"{', '.join(layout.columns.values())}, but {data.path} as {opened.encoder.layout.format} with "
                f"{', '.join(opened.encoder.layout.columns.values())}; give both the same columns"
            )
        return rows, _tokenised(opened, data.eval_path, eval_rows.rows).rows
    if not data.eval_fraction or not isinstance(rows, Dataset):
        return rows, None
    held_out = max(1, round(len(rows) * data.eval_fraction))
    if held_out >= len(rows):
        raise UsageError(
            f"data.eval_fraction: {data.eval_fraction:g} of {len(rows)} rows leaves none to train on; "
            "name held-out data in data.eval_path instead"
        )
    parts = rows.train_test_split(test_size=held_out, seed=opened.recipe.train.seed)
    return parts["train"], parts["test"]


def _packed(rows: Rows | None, job: Job, *, cut: bool) -> Any:
    if rows is None or not job.packing:
        return rows
    return pack_dataset(rows, job.max_seq_length, "bfd" if cut else "bfd_split")


def _refuse_too_few(prepared: PreparedData, recipe: Recipe, job: Job) -> None:
    if prepared.num_rows is not None and recipe.train.max_steps is None:
        refuse_less_than_a_step(
            prepared.num_rows,
            epochs=recipe.train.num_epochs,
            global_batch_size=job.batch.global_batch_size,
            packed_from=prepared.num_samples if prepared.packed else None,
            source=recipe.data.path,
        )


def fingerprint(rows: Dataset, encoder: RowEncoder) -> str:
    """The cache key of encoded rows: the rows, the tokenizer's vocabulary and merges, and every setting."""
    tokenizer = encoder.tokenizer
    parts = (
        VERSION,
        datasets.__version__,
        rows._fingerprint,
        _vocabulary(tokenizer),
        tokenizer.chat_template,
        encoder.template,
        encoder.layout.format,
        sorted(encoder.layout.columns.items()),
        encoder.max_seq_length,
        encoder.cut,
        encoder.completion_only,
        encoder.system_role,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _vocabulary(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return repr(sorted(tokenizer.get_vocab().items()))
    backend.no_truncation()
    backend.no_padding()
    return hashlib.sha256(backend.to_str().encode()).hexdigest()


def _tell(report: Report, said: Any) -> None:
    for finding in said:
        if finding.level == "warning":
            report("warning", {"code": finding.code, "text": finding.text, **finding.numbers})


def _event(prepared: PreparedData, opened: _Opened, train: _Tokenised, tokenizer: Any) -> dict[str, Any]:
    learned = [label for label in train.first["labels"] if label != IGNORED]
    return {
        "path": opened.recipe.data.path,
        "format": prepared.format,
        "columns": dict(opened.encoder.layout.columns),
        "completion_only_loss": prepared.completion_only_loss,
        "packed": prepared.packed,
        "streaming": prepared.streaming,
        "num_samples": prepared.num_samples,
        "num_rows": prepared.num_rows,
        "num_eval_rows": len(prepared.eval) if isinstance(prepared.eval, Dataset) else None,
        "eval_of_these": not opened.recipe.data.eval_path,
        "pad_token": tokenizer.pad_token,
        "notes": [remark.text for remark in opened.remarks],
        "example": prepared.example[:SHOWN_CHARACTERS],
        "example_learned": tokenizer.decode(learned, skip_special_tokens=False)[:SHOWN_CHARACTERS],
        **asdict(prepared.statistics),
    }
