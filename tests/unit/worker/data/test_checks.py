from __future__ import annotations

from typing import Any

import pytest

from tunekit.errors import UsageError
from tunekit.worker.data.checks import Statistics, findings, refuse, refuse_less_than_a_step, statistics

pytestmark = pytest.mark.train


def count(rows: list[dict[str, int]], *, max_seq_length: int = 10, cut: bool = True) -> Statistics:
    plain = {"length": 8, "supervised": 4, "digest": 0, "ends": 1, "doubled_bos": 0}
    plain |= {"unlearned_turns": 0, "no_question": 0}
    filled = [{**plain, "digest": number, **row} for number, row in enumerate(rows)]
    return statistics({name: [row[name] for row in filled] for name in plain}, max_seq_length=max_seq_length, cut=cut)


def codes(found: Statistics) -> list[str]:
    return [finding.code for finding in findings(found)]


def test_good_rows_raise_no_finding() -> None:
    found = count([{}, {}, {}])
    assert codes(found) == []
    assert (found.rows, found.usable_rows, found.tokens, found.supervised_tokens) == (3, 3, 24, 12)


def test_cut_rows_are_counted_with_their_lost_tokens_and_the_length_that_would_do() -> None:
    found = count([{"length": 8}] * 100 + [{"length": 13}] * 3 + [{"length": 100}])
    assert (found.truncated_rows, found.tokens_lost, found.longest) == (4, 3 * 3 + 90, 100)
    assert found.length_for_99_percent == 16
    (finding,) = findings(found)
    assert finding.text == (
        "4 of 104 rows are longer than 10 tokens and are cut: 99 tokens (10.5%) are lost; "
        "train.max_seq_length=16 keeps 99 % of the rows whole"
    )
    assert finding.numbers == {"rows": 4, "tokens_lost": 99, "length_for_99_percent": 16}


def test_rows_that_packing_splits_lose_nothing() -> None:
    found = count([{"length": 100}], cut=False)
    assert (found.truncated_rows, found.tokens_lost, found.tokens) == (0, 0, 100)


def test_repeated_rows_are_counted() -> None:
    assert count([{"digest": 1}, {"digest": 1}, {"digest": 2}]).duplicate_rows == 1


def test_empty_rows_are_neither_masked_nor_repeated() -> None:
    found = count([{"length": 0, "supervised": 0, "digest": 9}] * 2 + [{}])
    assert (found.empty_rows, found.masked_rows, found.duplicate_rows, found.usable_rows) == (2, 0, 0, 1)
    assert [finding.text for finding in findings(found)] == [
        "2 of 3 rows are empty or hold no answer and are dropped: 1 are left"
    ]


def test_every_count_but_that_of_empty_rows_leaves_them_out() -> None:
    empty = {"length": 0, "supervised": 0, "digest": 0, "no_question": 1}
    rows = [empty] * 5 + [{"length": 13, "digest": 1}] * 2 + [{"no_question": 1}, {"supervised": 0}]
    said = [finding.text for finding in findings(count(rows)) if finding.code != "empty_rows"]
    assert len(said) == 4
    assert all(" of 4 rows " in text for text in said)


def test_rows_with_an_empty_question_are_counted_and_kept() -> None:
    found = count([{"no_question": 1}, {}, {}])
    assert (found.rows_without_question, found.usable_rows) == (1, 3)
    (finding,) = findings(found)
    assert finding.text == (
        "1 of 3 rows have an answer but an empty question and are learned as they are; "
        "if a column was missed, name it in data.columns"
    )


@pytest.mark.parametrize(
    ("row", "code"),
    [({"ends": 0}, "no_end_token"), ({"doubled_bos": 1}, "doubled_bos"), ({"unlearned_turns": 2}, "unlearned_turns")],
)
def test_oddities_of_the_template_are_told(row: dict[str, int], code: str) -> None:
    assert codes(count([row, row])) == [code]


def test_one_row_without_an_end_is_no_fault_of_the_template() -> None:
    assert codes(count([{"ends": 0}, {}])) == []


def test_one_percent_of_masked_rows_is_dropped_and_more_stops() -> None:
    masked, good = {"supervised": 0, "length": 40}, {}
    few = count([masked] + [good] * 99)
    refuse(few, source="rows")
    assert "masked_rows" in codes(few)
    with pytest.raises(UsageError) as caught:
        refuse(count([masked] * 2 + [good] * 98), source="rows")
    assert str(caught.value) == (
        "rows: 2 of 100 rows (2.0%) have no token to learn: their prompt fills all 10 tokens. Type "
        "train.max_seq_length=40 to keep 99 % of the rows whole, or data.completion_only_loss=false to learn the "
        "prompts too, or drop these rows"
    )


@pytest.mark.parametrize(
    ("rows", "message"), [([], "holds no rows"), ([{"length": 0, "supervised": 0}] * 3, "all 3 rows are empty")]
)
def test_nothing_to_learn_stops(rows: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refuse(count(rows), source="rows")


def test_less_than_one_step_stops_with_the_arithmetic() -> None:
    with pytest.raises(UsageError) as caught:
        refuse_less_than_a_step(3, epochs=1.0, global_batch_size=16, packed_from=9, source="rows")
    assert str(caught.value) == (
        "rows: 3 rows (packed from 9 samples) x 1 epochs are less than one optimizer step of 16 rows. "
        "Type train.global_batch_size=3 or less, train.num_epochs=6 or more, or set train.max_steps"
    )
    with pytest.raises(UsageError, match=r"^rows: 3 rows x 1 epochs"):
        refuse_less_than_a_step(3, epochs=1.0, global_batch_size=16, packed_from=None, source="rows")
    refuse_less_than_a_step(3, epochs=6.0, global_batch_size=16, packed_from=None, source="rows")
