from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from data_cases import ENDLESS, FORGETFUL, NO_SYSTEM

from tunekit.errors import UsageError
from tunekit.recipe.data_formats import Layout
from tunekit.worker.data.encode import IGNORED, RowEncoder, labels_of

pytestmark = pytest.mark.train

CHAT = Layout(format="messages", columns={"messages": "messages"})
TEXT = Layout(format="text", columns={"text": "text"})


def encoder(tokenizer: Any, **changes: Any) -> RowEncoder:
    keys: dict[str, Any] = {
        "tokenizer": tokenizer,
        "layout": CHAT,
        "max_seq_length": 500,
        "cut": True,
        "completion_only": True,
        "template": None,
        "system_role": True,
    }
    return RowEncoder(**keys | changes)


def dialogue(*said: str) -> dict[str, Any]:
    return {
        "messages": [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(said)]
    }


def encode(made: RowEncoder, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    columns = made({name: [row[name] for row in rows] for name in rows[0]}, range(len(rows)))
    return [{name: values[index] for name, values in columns.items()} for index in range(len(rows))]


def learned(tokenizer: Any, row: dict[str, Any]) -> str:
    return str(tokenizer.decode([label for label in row["labels"] if label != IGNORED]))


def test_only_the_answer_with_its_end_is_learned(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    (row,) = encode(encoder(tokenizer), dialogue("Hi", "Yo"))
    assert tokenizer.decode(row["input_ids"]) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"
    )
    assert learned(tokenizer, row) == "Yo<|im_end|>\n"
    assert (row["ends"], row["length"], row["supervised"]) == (1, len(row["input_ids"]), 4)


def test_every_answer_of_a_dialogue_is_learned(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    (row,) = encode(encoder(tokenizer), dialogue("a", "one", "b", "two"))
    assert learned(tokenizer, row) == "one<|im_end|>\ntwo<|im_end|>\n"
    assert row["unlearned_turns"] == 0


def test_an_earlier_answer_that_is_rendered_differently_is_counted_not_guessed(
    make_tokenizer: Callable[..., Any],
) -> None:
    tokenizer = make_tokenizer(template=FORGETFUL)
    (row,) = encode(encoder(tokenizer), dialogue("a", "one", "b", "two"))
    assert learned(tokenizer, row) == "two<|im_end|>\n"
    assert row["unlearned_turns"] == 1


def test_the_better_template_is_used_for_several_answers_only(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(template=FORGETFUL)
    better = encoder(tokenizer, template=make_tokenizer().chat_template)
    several, single = encode(better, dialogue("a", "one", "b", "two"), dialogue("a", "one"))
    assert several["unlearned_turns"] == 0
    assert learned(tokenizer, several) == "one<|im_end|>\ntwo<|im_end|>\n"
    assert learned(tokenizer, single) == "one<|im_end|>\n"


def test_everything_is_learned_when_asked(make_tokenizer: Callable[..., Any]) -> None:
    (row,) = encode(encoder(make_tokenizer(), completion_only=False), dialogue("Hi", "Yo"))
    assert row["labels"] == row["input_ids"]


def test_text_is_learned_whole_and_ends(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(adds_bos=True)
    open_end, closed = encode(encoder(tokenizer, layout=TEXT), {"text": "abc"}, {"text": "abc</s>"})
    assert open_end["input_ids"] == closed["input_ids"]
    assert tokenizer.decode(open_end["input_ids"]) == "<s>abc</s>"
    assert open_end["labels"] == open_end["input_ids"]
    assert (open_end["doubled_bos"], open_end["ends"]) == (0, 1)


def test_a_template_with_a_beginning_token_does_not_double_it(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(template="{{ '<s>' }}" + ENDLESS, adds_bos=True)
    (row,) = encode(encoder(tokenizer), dialogue("Hi", "Yo"))
    assert row["input_ids"].count(tokenizer.bos_token_id) == 1
    assert row["doubled_bos"] == 0
    (text,) = encode(encoder(tokenizer, layout=TEXT), {"text": "<s>abc"})
    assert text["doubled_bos"] == 1


def test_a_template_without_an_end_is_noticed(make_tokenizer: Callable[..., Any]) -> None:
    (row,) = encode(encoder(make_tokenizer(template=ENDLESS)), dialogue("Hi", "Yo"))
    assert row["ends"] == 0


def test_long_rows_are_cut_but_their_length_is_kept(make_tokenizer: Callable[..., Any]) -> None:
    made = encoder(make_tokenizer(), max_seq_length=40)
    short_answer, long_prompt = encode(made, dialogue("Hi", "Yo" * 30), dialogue("Hi" * 30, "Yo"))
    assert len(short_answer["input_ids"]) == len(short_answer["labels"]) == 40
    assert short_answer["length"] > 40
    assert short_answer["supervised"] > 0
    assert long_prompt["supervised"] == 0
    (whole,) = encode(encoder(make_tokenizer(), max_seq_length=40, cut=False), dialogue("Hi", "Yo" * 30))
    assert len(whole["input_ids"]) == whole["length"]


def test_empty_rows_become_empty_lists(make_tokenizer: Callable[..., Any]) -> None:
    empty, full = encode(encoder(make_tokenizer()), dialogue("Hi"), dialogue("Hi", "Yo"))
    assert (empty["input_ids"], empty["labels"], empty["length"]) == ([], [], 0)
    assert full["length"] > 0


def test_equal_rows_have_equal_digests(make_tokenizer: Callable[..., Any]) -> None:
    one, other, different = encode(
        encoder(make_tokenizer()), dialogue("a", "b"), dialogue("a", "b"), dialogue("a", "c")
    )
    assert one["digest"] == other["digest"] != different["digest"]


def test_a_system_text_opens_the_question_where_the_template_has_no_place_for_it(
    make_tokenizer: Callable[..., Any],
) -> None:
    tokenizer = make_tokenizer(template=NO_SYSTEM)
    row = {"messages": [{"role": "system", "content": "Be brief."}, *dialogue("Hi", "Yo")["messages"]]}
    (made,) = encode(encoder(tokenizer, system_role=False), row)
    assert "user\nBe brief.\n\nHi<|im_end|>" in tokenizer.decode(made["input_ids"])


def test_a_row_the_template_refuses_is_named(make_tokenizer: Callable[..., Any]) -> None:
    made = encoder(make_tokenizer(template=NO_SYSTEM))
    good, bad = (
        dialogue("Hi", "Yo"),
        {"messages": [{"role": "system", "content": "S"}, *dialogue("a", "b")["messages"]]},
    )
    with pytest.raises(UsageError, match="row 2: no system role"):
        encode(made, good, bad)


def test_a_slow_tokenizer_gives_the_same_labels(make_tokenizer: Callable[..., Any]) -> None:
    class Slow:
        """The same tokenizer, silent about where its tokens stand."""

        is_fast = False

        def __init__(self, fast: Any) -> None:
            self.fast = fast

        def __call__(self, *texts: Any, **keys: Any) -> Any:
            assert "return_offsets_mapping" not in keys
            return self.fast(*texts, **keys)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.fast, name)

    fast, rows = make_tokenizer(), [dialogue("Hi", "Yo"), dialogue("a", "one", "b", "two"), dialogue("a")]
    assert encode(encoder(Slow(fast)), *rows) == encode(encoder(fast), *rows)


def test_a_token_across_the_border_belongs_to_the_answer() -> None:
    ids, offsets = [5, 6, 7, 8], [(0, 2), (2, 5), (5, 8), (8, 9)]
    assert labels_of(ids, offsets, [(4, 8)]) == [IGNORED, 6, 7, IGNORED]
    assert labels_of(ids, offsets, [(0, 9)]) == ids
    assert labels_of(ids, offsets, [(2, 5), (8, 9)]) == [IGNORED, 6, IGNORED, 8]
    assert labels_of(ids, offsets, []) == [IGNORED] * 4
