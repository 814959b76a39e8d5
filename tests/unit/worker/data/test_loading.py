from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import RecipeError, UsageError
from tunekit.recipe.data_check import PEEKED_FILES
from tunekit.recipe.job import Batch
from tunekit.worker.data import PreparedData, load_datasets
from tunekit.worker.data.encode import IGNORED, RowEncoder

pytestmark = pytest.mark.train

PAIRS = [{"prompt": f"Question {number}", "completion": f"Answer {number}"} for number in range(20)]


@pytest.fixture
def load(
    make_tokenizer: Callable[..., Any], make_recipe: Callable[..., Any], make_job: Callable[..., Any]
) -> Callable[..., tuple[PreparedData, dict[str, Any]]]:
    """Loads rows and gives them with the events that were reported: `data`, and the codes of the warnings."""

    def run(path: str, *, tokenizer: Any = None, job: dict[str, Any] | None = None, **recipe: Any) -> Any:
        events: dict[str, Any] = {"warning": []}

        def report(event: str, fields: dict[str, Any]) -> None:
            if event == "warning":
                events["warning"].append(fields["code"])
            else:
                events[event] = fields

        keys = {"max_seq_length": 120} | (job or {})
        prepared = load_datasets(
            make_recipe(path, **recipe), make_job(**keys), tokenizer or make_tokenizer(), report=report
        )
        return prepared, events

    return run


def test_rows_come_ready_for_the_trainer_and_are_described(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    path = lines(PAIRS)
    prepared, events = load(path)
    assert prepared.train.column_names == ["input_ids", "labels"]
    assert (prepared.num_rows, prepared.eval, prepared.format) == (20, None, "prompt_completion")
    assert prepared.completion_only_loss
    assert events["warning"] == []
    data = events["data"]
    assert data["path"] == path
    assert data["columns"] == {"prompt": "prompt", "completion": "completion"}
    assert data["example"].startswith("<|im_start|>user\nQuestion 0<|im_end|>")
    assert data["example_learned"] == "Answer 0<|im_end|>\n"
    assert data["tokens"] == sum(len(row["input_ids"]) for row in prepared.train)
    assert (data["rows"], data["num_rows"], data["pad_token"]) == (20, 20, "<pad>")


def test_a_suffix_in_capitals_is_learned_as_any_other(load: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "A.CSV").write_text("prompt,completion\nQ,A\nR,B\n")
    assert load(str(tmp_path / "A.CSV"))[0].num_rows == load(str(tmp_path))[0].num_rows == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'[{"text": "x"}]\n[{"text": "y"}]', "a.json:2: the list of rows ends before this"),
        ("a.json", b'{"train": [{"text": "x"}], "test": []}', "a list of rows for each of the splits train, test"),
        ("a.csv", "text\nx\n".encode("utf-16"), "a.csv: the file is UTF-16 text; .* iconv -f utf-16 -t utf-8"),
        ("a.parquet", b"", r"a.parquet: the file is empty \(0 bytes\)"),
        ("a.parquet", b"PAR1" + b"x" * 20 + b"\5\0\0\0PAR1", "a.parquet: cannot be read: .*; the file is damaged"),
    ],
)
def test_a_worker_started_by_hand_refuses_what_the_launcher_does(
    load: Callable[..., Any], tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load(str(tmp_path / name))


def test_files_with_other_columns_are_refused_not_dropped(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    folder = Path(lines([{"instruction": "Q", "output": "A"}] * 3, "rows/0000.jsonl")).parent
    for number in range(1, PEEKED_FILES + 2):
        odd = number == PEEKED_FILES + 1
        lines(PAIRS if odd else [{"instruction": "Q", "output": "A"}], f"rows/{number:04}.jsonl")
    with pytest.raises(UsageError, match=r"0051.jsonl: has the columns prompt, completion, but .*0000.jsonl has ins"):
        load(str(folder))


def test_a_column_that_only_a_later_file_has_is_learned(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    lines([{"instruction": "Q", "output": "A"}] * 3, "rows/a.jsonl")
    path = lines([{"instruction": "Q", "input": "the passage", "output": "A"}] * 3, "rows/b.jsonl")
    _, events = load(str(Path(path).parent))
    assert events["data"]["columns"]["input"] == "input"


def test_plain_text_is_learned_whole(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    prepared, _ = load(lines([{"text": "hello"}] * 2))
    assert (prepared.format, prepared.completion_only_loss) == ("text", False)
    assert prepared.example == "hello</s>"


def test_packed_rows_keep_their_samples_apart(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    unpacked, _ = load(lines(PAIRS))
    prepared, _ = load(lines(PAIRS), job={"packing": True, "max_seq_length": 150})
    assert prepared.train.column_names == ["input_ids", "labels", "seq_lengths"]
    assert prepared.num_rows is not None
    assert prepared.num_rows < 20
    assert sum(len(row["input_ids"]) for row in prepared.train) == sum(len(r["input_ids"]) for r in unpacked.train)
    batch = DataCollatorForLanguageModeling(pad_token_id=3, padding_free=True)([prepared.train[0]])
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    lengths = prepared.train[0]["seq_lengths"]
    assert starts == [sum(lengths[:index]) for index in range(len(lengths))]


def test_packing_splits_text_and_cuts_answers(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    packing = {"packing": True, "max_seq_length": 64}
    _, text = load(lines([{"text": "x" * 200}]), job=packing)
    assert (text["warning"], text["data"]["tokens_lost"], text["data"]["num_rows"]) == ([], 0, 4)
    _, chat = load(lines([{"prompt": "Q", "completion": "x" * 200}]), job=packing)
    assert chat["warning"] == ["truncated_rows"]


def test_rows_are_held_out_by_seed(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    path = lines(PAIRS)
    first, events = load(path, eval_fraction=0.2)
    again, _ = load(path, eval_fraction=0.2)
    other, _ = load(path, eval_fraction=0.2, train={"seed": 1})
    assert (len(first.train), len(first.eval), events["data"]["num_eval_rows"]) == (16, 4, 4)
    assert events["data"]["eval_of_these"]
    assert first.eval[:] == again.eval[:]
    assert first.eval[:] != other.eval[:]
    assert not {tuple(row["input_ids"]) for row in first.train} & {tuple(row["input_ids"]) for row in first.eval}


def test_held_out_rows_may_lie_in_a_file(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    prepared, _ = load(lines(PAIRS), eval_path=lines(PAIRS[:3], "eval.jsonl"))
    assert (len(prepared.train), len(prepared.eval)) == (20, 3)
    with pytest.raises(UsageError, match="is read as text with the columns text, but"):
        load(lines(PAIRS), eval_path=lines([{"text": "x"}], "eval.jsonl"))


def test_holding_out_everything_is_refused(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="0.9 of 1 rows leaves none to train on"):
        load(lines(PAIRS[:1]), eval_fraction=0.9)


def test_rows_without_anything_to_learn_are_dropped_and_told(
    load: Callable[..., Any], lines: Callable[..., str]
) -> None:
    rows = [{"prompt": f"Q{number}", "completion": f"A{number}"} for number in range(200)]
    prepared, events = load(
        lines([*rows, rows[0], {"prompt": "x" * 200, "completion": "A"}, {"prompt": "Q", "completion": ""}])
    )
    assert (prepared.num_rows, prepared.num_samples) == (201, 201)
    assert (events["data"]["rows"], events["data"]["num_samples"]) == (203, 201)
    assert events["warning"] == ["masked_rows", "truncated_rows", "empty_rows", "duplicate_rows"]
    assert all(any(label != IGNORED for label in row["labels"]) for row in prepared.train)


def test_a_data_set_of_prompts_too_long_stops(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match=r"2 of 22 rows \(9.1%\) have no token to learn.*train.max_seq_length="):
        load(lines(PAIRS + [{"prompt": "x" * n, "completion": "A"} for n in (200, 300)]))


def test_a_template_without_an_end_is_told(
    load: Callable[..., Any], lines: Callable[..., str], make_tokenizer: Callable[..., Any]
) -> None:
    endless = make_tokenizer(template="{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}")
    assert load(lines(PAIRS), tokenizer=endless)[1]["warning"] == ["no_end_token"]


def test_a_missing_padding_token_is_told(
    load: Callable[..., Any], lines: Callable[..., str], make_tokenizer: Callable[..., Any]
) -> None:
    prepared, events = load(lines(PAIRS), tokenizer=make_tokenizer(pad=None))
    assert (events["warning"], prepared.pad_token_id) == (["padding_token"], 3)


def test_less_than_one_step_stops_unless_the_steps_are_given(
    load: Callable[..., Any], lines: Callable[..., str]
) -> None:
    sixteen = {"batch": Batch(micro_batch_size=2, gradient_accumulation_steps=4, world_size=4)}
    with pytest.raises(UsageError, match="20 rows x 1 epochs are less than one optimizer step of 32 rows"):
        load(lines(PAIRS), job=sixteen)
    assert load(lines(PAIRS), job=sixteen, train={"num_epochs": 2})[0].num_rows == 20
    assert load(lines(PAIRS), job=sixteen, train={"max_steps": 3})[0].num_rows == 20


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([], UsageError, "holds no rows"),
        ([{"query": "Q", "reply": "A"}], RecipeError, "completion: reply"),
        ([{"prompt": "Q", "completion": ""}], UsageError, "all 1 rows are empty"),
        ([*PAIRS * 51, {"prompt": "Q", "completion": ["A"]}], UsageError, "/rows.jsonl: line 1021: `completion`"),
        (
            [*PAIRS * 51, {"question": "Q", "answer": "A"}],
            UsageError,
            "/rows.jsonl: line 1021: column `prompt` is missing; the row has question, answer",
        ),
        ([{"messages": [{"role": "user", "content": "Q"}, {"role": "judge", "content": "A"}]}], UsageError, "'judge'"),
    ],
)
def test_bad_data_is_wrong_use(
    load: Callable[..., Any], lines: Callable[..., str], rows: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        load(lines(rows))


@pytest.mark.parametrize("keys", [{}, {"streaming": True, "max_rows": None}])
def test_a_bad_row_of_a_folder_is_named_with_its_file(
    load: Callable[..., Any], lines: Callable[..., str], keys: dict[str, Any]
) -> None:
    lines(PAIRS, "rows/a.jsonl")
    path = lines([*PAIRS * 6, {"prompt": "Q", "completion": ["A"]}], "rows/b.jsonl")
    with pytest.raises(UsageError, match="/rows: b.jsonl line 121: `completion` is not text"):
        load(str(Path(path).parent), train={"max_steps": 5}, **keys)


def test_a_bad_row_of_the_evaluation_data_is_named_with_its_file(
    load: Callable[..., Any], lines: Callable[..., str]
) -> None:
    bad = lines([*PAIRS * 51, {"prompt": "Q", "completion": ["A"]}], "eval.jsonl")
    with pytest.raises(UsageError, match="/eval.jsonl: line 1021: `completion` is not text"):
        load(lines(PAIRS), eval_path=bad)


def test_the_second_start_does_not_tokenise_again(
    load: Callable[..., Any],
    lines: Callable[..., str],
    make_tokenizer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, tokenizer = lines(PAIRS), make_tokenizer()
    first, _ = load(path, tokenizer=tokenizer)

    def never(*_: Any) -> None:
        raise AssertionError("tokenised again")

    tokenizer("use it", padding="max_length", truncation=True, max_length=4)
    monkeypatch.setattr(RowEncoder, "__call__", never)
    again, events = load(path, tokenizer=tokenizer)
    assert again.train[:] == first.train[:]
    assert events["data"]["supervised_tokens"] > 0


@pytest.mark.parametrize("change", [{"max_seq_length": 90}, {"completion_only_loss": False}])
def test_other_settings_are_not_taken_from_the_cache(
    load: Callable[..., Any], lines: Callable[..., str], change: dict[str, Any]
) -> None:
    path = lines(PAIRS + [{"prompt": "Q", "completion": "A" * 80}] * 1)
    first, _ = load(path)
    other, _ = load(path, job=change)
    assert first.train[:] != other.train[:]


@pytest.mark.parametrize("packing", [False, True])
def test_a_stream_is_read_as_it_is_needed(
    load: Callable[..., Any], lines: Callable[..., str], monkeypatch: pytest.MonkeyPatch, packing: bool
) -> None:
    encoded = 0
    encode = RowEncoder.__call__

    def counting(self: RowEncoder, batch: Any, positions: Any) -> Any:
        nonlocal encoded
        encoded += len(positions)
        return encode(self, batch, positions)

    monkeypatch.setattr(RowEncoder, "__call__", counting)
    rows = [{"prompt": f"Q{number}", "completion": f"A{number}"} for number in range(20_000)]
    prepared, events = load(lines(rows), streaming=True, train={"max_steps": 5}, job={"packing": packing})
    assert (prepared.num_rows, prepared.streaming, events["data"]["rows"]) == (None, True, 1000)
    taken = [row for _, row in zip(range(5), prepared.train, strict=False)]
    assert set(taken[0]) == {"input_ids", "labels"} | ({"seq_lengths"} if packing else set())
    assert encoded <= 5_000
    assert sum(1 for _ in prepared.train.take(50)) == 50


def test_a_stream_gives_the_rows_of_the_file_again_and_again(
    load: Callable[..., Any], lines: Callable[..., str]
) -> None:
    path = lines([*PAIRS, {"prompt": "Q", "completion": ""}])
    whole, _ = load(path)
    stream, _ = load(path, streaming=True, train={"max_steps": 5})
    rows = [str(row) for row in stream.train.take(3 * len(PAIRS))]
    first, second, third = (rows[start : start + len(PAIRS)] for start in (0, 20, 40))
    assert sorted(first) == sorted(second) == sorted(third) == sorted(map(str, whole.train))
    assert first != [str(row) for row in whole.train]


def test_a_stream_is_mixed_by_seed(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    orders = []
    for seed in (1, 1, 2):
        stream, _ = load(lines(PAIRS), streaming=True, train={"max_steps": 5, "seed": seed})
        orders.append(list(stream.train.take(len(PAIRS))))
    assert orders[0] == orders[1] != orders[2]


def test_held_out_rows_of_a_stream_have_an_end(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    held_out = lines(PAIRS[:3], "eval.jsonl")
    stream, events = load(lines(PAIRS), streaming=True, train={"max_steps": 5}, eval_path=held_out)
    assert (len(stream.eval), events["data"]["num_eval_rows"]) == (3, 3)


def test_rows_without_a_question_are_told(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    rows = [*PAIRS, {"prompt": " ", "completion": "Answer"}]
    prepared, events = load(lines(rows))
    assert events["warning"] == ["no_question"]
    assert (prepared.statistics.rows_without_question, prepared.num_rows) == (1, 21)


def test_samples_are_counted_without_those_held_out(load: Callable[..., Any], lines: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match=r"16 rows x 1 epochs are less than one optimizer step of 64 rows"):
        load(
            lines(PAIRS),
            eval_fraction=0.2,
            job={"batch": Batch(micro_batch_size=64, gradient_accumulation_steps=1, world_size=1)},
        )
    prepared, _ = load(lines(PAIRS), eval_fraction=0.2, job={"packing": True, "max_seq_length": 150})
    assert prepared.num_samples == 16
