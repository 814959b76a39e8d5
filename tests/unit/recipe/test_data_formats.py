from __future__ import annotations

from typing import Any

import pytest

from tunekit.errors import RecipeError, UsageError
from tunekit.recipe.data_formats import Layout, RowError, conversation, plain_text, recognise, tools_of
from tunekit.recipe.schema import DataSection

QUESTION = {"role": "user", "content": "Q"}
ANSWER = {"role": "assistant", "content": "A"}
SYSTEM = {"role": "system", "content": "S"}


def section(**keys: Any) -> DataSection:
    return DataSection(path="rows.jsonl", **keys)


def read(row: dict[str, Any], **keys: Any) -> list[dict[str, Any]]:
    return conversation(row, recognise(list(row), section(**keys), source="rows.jsonl"))


@pytest.mark.parametrize(
    ("columns", "format"),
    [
        (["messages"], "messages"),
        (["prompt", "messages", "chosen", "rejected"], "messages"),
        (["conversations", "id"], "sharegpt"),
        (["instruction", "input", "output", "text"], "alpaca"),
        (["prompt", "completion"], "prompt_completion"),
        (["question", "answer"], "prompt_completion"),
        (["prompt", "response"], "prompt_completion"),
        (["text", "url"], "text"),
    ],
)
def test_formats_are_recognised_by_their_columns(columns: list[str], format: str) -> None:
    assert recognise(columns, section(), source="x").format == format


def test_the_format_asked_for_wins_over_the_one_that_would_be_recognised() -> None:
    columns = ["instruction", "output", "text"]
    assert recognise(columns, section(format="text"), source="x").format == "text"


def test_columns_are_mapped_to_ours() -> None:
    keys = {"columns": {"prompt": "frage", "completion": "antwort"}}
    assert read({"frage": "Q", "antwort": "A", "id": 3}, **keys) == [QUESTION, ANSWER]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "Q", "output": "A"}, [QUESTION, ANSWER]),
        ({"instruction": "Do", "input": "this", "output": "A"}, [{"role": "user", "content": "Do\nthis"}, ANSWER]),
        ({"instruction": "Q", "input": "", "output": "A", "system": "S"}, [SYSTEM, QUESTION, ANSWER]),
        (
            {"instruction": "Q", "output": "A", "history": [["q", "a"]]},
            [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, QUESTION, ANSWER],
        ),
        ({"instruction": "Q", "output": "A", "history": None}, [QUESTION, ANSWER]),
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}, [QUESTION, ANSWER]),
        ({"conversations": [QUESTION, ANSWER], "system": "S"}, [SYSTEM, QUESTION, ANSWER]),
        ({"messages": [SYSTEM, QUESTION, ANSWER], "system": "other"}, [SYSTEM, QUESTION, ANSWER]),
        ({"messages": [{**QUESTION, "tool_calls": None}, ANSWER]}, [QUESTION, ANSWER]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]}, ANSWER]}, [QUESTION, ANSWER]),
        ({"prompt": "Q", "completion": "A"}, [QUESTION, ANSWER]),
        ({"question": "Q", "answer": 4}, [QUESTION, {"role": "assistant", "content": "4"}]),
        ({"prompt": [QUESTION], "completion": [ANSWER]}, [QUESTION, ANSWER]),
    ],
)
def test_rows_of_every_format_become_conversations(row: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    assert read(row) == expected


@pytest.mark.parametrize(
    "row",
    [
        {"messages": None},
        {"messages": []},
        {"messages": [QUESTION]},
        {"messages": [QUESTION, {"role": "assistant", "content": "  "}]},
        {"instruction": "Q", "output": None},
        {"prompt": "Q", "completion": ""},
    ],
)
def test_rows_without_an_answer_are_empty(row: dict[str, Any]) -> None:
    assert read(row) == []


def test_a_tool_call_is_an_answer() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    assert read({"messages": [QUESTION, call]})[-1]["tool_calls"] == call["tool_calls"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": "Q"}, "`messages` is not a list of turns"),
        ({"messages": ["Q"]}, "turn 1 is not an object with role and content"),
        ({"messages": [{"role": "teacher", "content": "Q"}]}, "turn 1 is spoken by 'teacher'; known roles are system"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "`turn 1` is not text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, r"turn 1 holds more than text \(image\)"),
        ({"instruction": ["Q"], "output": "A"}, "`instruction` is not text"),
        ({"instruction": "Q", "output": "A", "history": [["q"]]}, "`history` turn 1 is not a pair"),
        ({"messages": [QUESTION, ANSWER], "tools": "[{"}, "`tools` is broken JSON"),
    ],
)
def test_rows_that_cannot_be_read_say_why(row: dict[str, Any], message: str) -> None:
    layout = recognise(list(row), section(), source="x")
    with pytest.raises(RowError, match=message):
        conversation(row, layout), tools_of(row, layout)


def test_tools_come_as_json_or_as_a_list() -> None:
    layout = recognise(["messages", "tools"], section(), source="x")
    assert tools_of({"tools": '[{"name": "f"}]'}, layout) == [{"name": "f"}]
    assert tools_of({"tools": [{"name": "f"}]}, layout) == [{"name": "f"}]
    assert tools_of({"tools": ""}, layout) is None


def test_plain_text_is_the_text_column() -> None:
    layout = Layout(format="text", columns={"text": "body"})
    assert plain_text({"body": "hello"}, layout) == "hello"
    assert plain_text({"body": None}, layout) == ""


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        (["query", "reply"], "data.columns='{prompt: query, completion: reply}'"),
        (["Instruction", "Output"], "data.columns='{instruction: Instruction, output: Output}'"),
        (["content"], "data.columns='{text: content}'"),
        (["dialogue", "id"], "data.columns='{messages: dialogue}'"),
        (["alpha", "beta"], "say which column is which, e.g. data.columns='{prompt: alpha, completion: beta}'"),
        (["alpha"], "say which column is which, e.g. data.columns='{text: alpha}'"),
        (["a: b", "no"], """data.columns='{prompt: "a: b", completion: "no"}'"""),
    ],
)
def test_unknown_columns_are_answered_with_the_override_to_type(columns: list[str], hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recognise(columns, section(), source="x")
    (problem,) = caught.value.problems
    assert hint in problem.hint
    assert all(column in problem.found for column in columns)
    assert "alpaca: instruction and output" in problem.allowed


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        ("Question, Complex_CoT, Response", "prompt: Question, completion: Response"),
        ("instruction, context, response, category", "output: response, input: context"),
        ("id, system_prompt, question, response", "prompt: question, completion: response, system: system_prompt"),
        ("type, query, original_question, response", "prompt: query, completion: response"),
        ("lang, raw_index, index, seed, problem, solution", "prompt: problem, completion: solution"),
        ("problem, answer, solution", "prompt: problem, completion: solution"),
        ("problem, generated_solution, expected_answer", "prompt: problem, completion: generated_solution"),
        ("instruction, response", "output: response"),
        ("article, highlights, id", "prompt: article, completion: highlights"),
        ("document, summary, id", "prompt: document, completion: summary"),
        ("id, dialogue, summary", "prompt: dialogue, completion: summary"),
        ("inputs, targets, language", "prompt: inputs, completion: targets"),
        ("message_1, message_2, topic", "prompt: message_1, completion: message_2"),
        ("question, response, context", "instruction: question, output: response, input: context"),
        ("id, title, context, question, answers", "instruction: question, output: answers, input: context"),
        ("Instruction, Input, Output", "instruction: Instruction, output: Output, input: Input"),
        ("promt, anser", "prompt: promt, completion: anser"),
    ],
)
def test_columns_of_well_known_data_sets_get_the_mapping_that_reads_them(columns: str, mapping: str) -> None:
    """Medical-o1, Dolly, OpenOrca, MetaMathQA, Magicoder, NuminaMath, OpenMathInstruct, CNN, XSum, SAMSum, FLAN, Camel.

    A name that means the same goes before one that is spelled alike, and a passage is not left out.
    """
    with pytest.raises(RecipeError) as caught:
        recognise(columns.split(", "), section(), source="x")
    (problem,) = caught.value.problems
    assert problem.hint == f"type data.columns='{{{mapping}}}'"


@pytest.mark.parametrize("columns", [["train", "test"], ["rows"], ["contest", "texture"]])
def test_names_that_are_only_a_little_alike_are_not_guessed(columns: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        recognise(columns, section(), source="x")
    assert caught.value.problems[0].hint.startswith("say which column is which")


def test_a_declared_format_names_only_its_own_columns() -> None:
    with pytest.raises(RecipeError) as caught:
        recognise(["instruction", "response"], section(format="alpaca"), source="x")
    (problem,) = caught.value.problems
    assert problem.key == "data.format"
    assert problem.allowed == "expected columns are alpaca: instruction and output"
    assert problem.hint == "type data.columns='{output: response}'"


def test_every_wrong_mapping_is_reported_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        recognise(["question", "answer"], section(columns={"promt": "question", "completion": "anser"}), source="x")
    assert [problem.key for problem in caught.value.problems] == ["data.columns.promt", "data.columns.completion"]
    hints = [problem.hint for problem in caught.value.problems]
    assert hints == ["type e.g. data.columns='{prompt: question, completion: answer}'"] * 2


def test_preference_data_is_refused_with_a_way_out() -> None:
    with pytest.raises(UsageError, match="preference data.*completion: chosen"):
        recognise(["prompt", "chosen", "rejected"], section(), source="x")
    mapped = section(columns={"completion": "chosen"})
    assert recognise(["prompt", "chosen", "rejected"], mapped, source="x").format == "prompt_completion"
