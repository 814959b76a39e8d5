"""The shipped questions and answers are what examples/data/README.md says they are."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import pytest

PLACEHOLDERS = re.compile(r"\b(todo|fixme|lorem|ipsum|xxx|tbd|foo|bar|placeholder)\b|\{\{|\}\}|<your|\.\.\. *$", re.I)


@pytest.fixture(scope="module")
def rows(repository: Path) -> list[dict[str, list[dict[str, str]]]]:
    text = (repository / "examples/data/finetuning_qa.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def pairs(rows: list[dict[str, list[dict[str, str]]]]) -> list[tuple[str, str]]:
    return [(row["messages"][0]["content"], row["messages"][1]["content"]) for row in rows]


def test_there_are_as_many_rows_as_the_page_says(repository: Path, rows: list[object]) -> None:
    page = (repository / "examples/data/README.md").read_text(encoding="utf-8")
    assert f"holds {len(rows)} questions" in page
    assert len(rows) >= 320


def test_every_row_is_one_question_and_one_answer(rows: list[dict[str, list[dict[str, str]]]]) -> None:
    for row in rows:
        assert list(row) == ["messages"]
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert all(set(message) == {"role", "content"} for message in row["messages"])


def test_no_question_and_no_answer_is_repeated(pairs: list[tuple[str, str]]) -> None:
    questions = [_normal(question) for question, _ in pairs]
    answers = [_normal(answer) for _, answer in pairs]
    assert len(set(questions)) == len(pairs)
    assert len(set(answers)) == len(pairs)


def test_no_two_questions_are_nearly_the_same(pairs: list[tuple[str, str]]) -> None:
    """Questions may differ in one word only where that word is the point: a number, a stage, a verdict."""
    words = [frozenset(_normal(question).split()) for question, _ in pairs]
    near = [(a, b) for a, b in combinations(words, 2) if len(a & b) / len(a | b) > 0.88]
    assert near == []


def test_nearly_equal_questions_have_different_answers(pairs: list[tuple[str, str]]) -> None:
    words = [(frozenset(_normal(q).split()), frozenset(_normal(a).split())) for q, a in pairs]
    for (question, answer), (other_question, other_answer) in combinations(words, 2):
        if len(question & other_question) / len(question | other_question) > 0.75:
            assert len(answer & other_answer) / len(answer | other_answer) < 0.7, (question, other_question)


def test_lengths_are_those_of_short_answers(pairs: list[tuple[str, str]]) -> None:
    for question, answer in pairs:
        assert 12 <= len(question) <= 160, question
        assert 40 <= len(answer) <= 420, answer
        assert question[-1] in "?.", question
        assert answer[-1] == ".", answer
        assert len(re.findall(r"[.!?](?:\s|$)", answer)) <= 5, answer


def test_nothing_is_a_placeholder(pairs: list[tuple[str, str]]) -> None:
    assert [text for pair in pairs for text in pair if PLACEHOLDERS.search(text)] == []


@pytest.mark.parametrize(
    ("topic", "least"),
    [("tunekit", 60), ("LoRA", 40), ("ZeRO", 40), ("offload", 25), ("4090", 12), ("DeepSpeed", 30), ("checkpoint", 15)],
)
def test_every_topic_of_the_page_is_covered(pairs: list[tuple[str, str]], topic: str, least: int) -> None:
    found = sum(topic.lower() in (question + " " + answer).lower() for question, answer in pairs)
    assert found >= least


def _normal(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9_.=-]+", text.lower()))
