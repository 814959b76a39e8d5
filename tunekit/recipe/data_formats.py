"""The formats of training data: how each is recognised by its columns, and how a row of it becomes a conversation.

Standard library only: the launcher looks at files with it before anything is started, and the worker reads every row
with it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, cast

from tunekit.errors import Problem, RecipeError, UsageError
from tunekit.recipe.keys import join_words, nearest_name
from tunekit.recipe.schema import DataFormat, DataSection

Message = dict[str, Any]

ROLES: Mapping[str, str] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
"""What a speaker is called in data, and the role that chat templates know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format: the columns it needs, in any of several spellings, and those it may have."""

    name: DataFormat
    needs: tuple[str, ...]
    may_have: tuple[str, ...] = ()
    also_called: tuple[tuple[str, ...], ...] = ()
    """Other names of `needs`, in the same order."""


# In the order of recognition: the first whose columns are all there wins.
FORMATS: tuple[Format, ...] = (
    Format(name="messages", needs=("messages",), may_have=("system", "tools")),
    Format(name="sharegpt", needs=("conversations",), may_have=("system", "tools")),
    Format(name="alpaca", needs=("instruction", "output"), may_have=("input", "system", "history")),
    Format(
        name="prompt_completion",
        needs=("prompt", "completion"),
        may_have=("system",),
        also_called=(("question", "answer"), ("prompt", "response")),
    ),
    Format(name="text", needs=("text",)),
)
OUR_COLUMNS = tuple(dict.fromkeys(column for format in FORMATS for column in (*format.needs, *format.may_have)))

# Only used to guess what the user may have meant; nothing is mapped without being asked for.
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "messages": ("chat", "dialogue", "dialog", "conversation", "turns"),
    "conversations": ("conversation", "dialogue", "dialog"),
    "instruction": ("prompt", "question", "query", "task"),
    "input": ("context",),
    "output": ("response", "answer", "completion", "target", "reply"),
    "system": ("system_prompt", "system_message"),
    "prompt": (
        *("question", "query", "instruction", "input", "user", "human", "problem", "article", "document"),
        *("dialogue", "dialog", "source", "context", "message_1"),
    ),
    "completion": (
        *("solution", "answer", "response", "output", "reply", "target", "assistant", "bot", "highlights", "summary"),
        *("generated_solution", "message_2", "label"),
    ),
    "text": ("content", "body", "document", "sentence", "passage"),
}
_TYPO = 0.86
"""From here on two names are alike: `promt` and `prompt`, `answers` and `answer`; not `test` and `text` (0.75), nor
`context` and `content` (0.857)."""


_PLAIN = re.compile(r"[^\W\d][\w-]*( [\w-]+)*")
_YAML_WORDS = ("yes", "no", "on", "off", "true", "false", "null", "y", "n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How rows are read: the format, and for each of our columns the user's column that holds it."""

    format: DataFormat
    columns: Mapping[str, str]

    def get(self, row: Mapping[str, Any], column: str) -> Any:
        """The value of one of our columns in `row`; None where it is not there."""
        return row.get(self.columns.get(column, column)) if column in self.columns else None

    @property
    def needed(self) -> Mapping[str, str]:
        """The columns without which a row teaches nothing, ours to the user's."""
        return {ours: self.columns[ours] for ours in format_named(self.format).needs}


class RowError(ValueError):
    """A row that cannot be read in the recognised format; says what is wrong, not where."""


def format_named(name: str) -> Format:
    """The format called `name`."""
    return next(format for format in FORMATS if format.name == name)


def recognise(found: Sequence[str], data: DataSection, *, source: str) -> Layout:
    """The layout of rows with the columns `found`.

    Raises RecipeError when `data.columns` names a column that is not there, or when no format (or not the one in
    `data.format`) has its columns; UsageError for preference data, which has two answers per row.
    """
    problems = tuple(_mapping_problems(found, data.columns))
    if problems:
        raise RecipeError(problems, source=source)
    at_hand = {name: name for name in found if name in OUR_COLUMNS} | dict(data.columns)
    candidates = [format_named(data.format)] if data.format else FORMATS
    layout = next((layout for format in candidates if (layout := _layout(format, at_hand, found))), None)
    asked_for = data.format or data.columns or (layout and layout.format == "messages")
    if {"chosen", "rejected"} <= set(found) and not asked_for:
        raise UsageError(_preference_data(source))
    if layout:
        return layout
    raise RecipeError((_unrecognised(found, data),), source=source)


def conversation(row: Mapping[str, Any], layout: Layout) -> list[Message]:
    """The row as messages with the roles system, user, assistant and tool; [] when it holds no answer.

    Raises RowError.
    """
    messages = _READERS[layout.format](row, layout)
    system = _text(layout.get(row, "system"))
    if system and (not messages or messages[0]["role"] != "system"):
        messages.insert(0, {"role": "system", "content": system})
    answered = any(message["role"] == "assistant" and _says_something(message) for message in messages)
    return messages if answered else []


def asks_something(messages: Sequence[Message]) -> bool:
    """True where anything stands before the first answer; a system text alone is no question."""
    before = takewhile(lambda message: message["role"] != "assistant", messages)
    return any(_says_something(message) for message in before if message["role"] != "system")


def plain_text(row: Mapping[str, Any], layout: Layout) -> str:
    """The text of a row of the text format; empty when there is none. Raises RowError when it is no text."""
    return _text(layout.get(row, "text"), name="text")


def tools_of(row: Mapping[str, Any], layout: Layout) -> list[Any] | None:
    """The tools a conversation may call, as the chat template takes them; None where the row has none."""
    tools = layout.get(row, "tools")
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json.loads(tools)
        except json.JSONDecodeError as error:
            raise RowError(f"`tools` is broken JSON: {error.msg}") from error
    return list(tools) if tools else None


def _layout(format: Format, at_hand: Mapping[str, str], found: Sequence[str]) -> Layout | None:
    for spelling in (format.needs, *format.also_called):
        names = {
            ours: at_hand.get(ours, written if written in found else "")
            for ours, written in zip(format.needs, spelling, strict=True)
        }
        if all(names.values()):
            optional = {ours: at_hand[ours] for ours in format.may_have if ours in at_hand}
            return Layout(format=format.name, columns=names | optional)
    return None


def _mapping_problems(found: Sequence[str], columns: Mapping[str, str]) -> Iterable[Problem]:
    hint = f"type e.g. {_shell(_corrected(found, columns))}" if found else ""
    for ours, theirs in columns.items():
        if ours not in OUR_COLUMNS:
            yield Problem(
                key=f"data.columns.{ours}",
                found=f"unknown column name {ours}",
                allowed=f"allowed: {join_words(OUR_COLUMNS)} (yours is written after the colon)",
                hint=hint,
            )
        if theirs not in found:
            yield Problem(
                key=f"data.columns.{ours}",
                found=f"the data has no column {theirs}",
                allowed=f"its columns: {', '.join(found)}",
                hint=hint,
            )


def _corrected(found: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The mapping with each wrong name replaced by the nearest right one, or by one that nothing uses yet."""
    corrected: dict[str, str] = {}
    for ours, theirs in columns.items():
        name = _right_name(ours, OUR_COLUMNS, taken=(*corrected, *columns))
        corrected[name] = _right_name(theirs, found, taken=(*corrected.values(), *columns.values()))
    return corrected


def _right_name(name: str, known: Sequence[str], *, taken: Collection[str]) -> str:
    if name in known:
        return name
    return nearest_name(name, known) or next((each for each in known if each not in taken), known[0])


def _unrecognised(found: Sequence[str], data: DataSection) -> Problem:
    # Of two guesses that change as many names, question and answer is the likelier meaning.
    likely = sorted(FORMATS, key=lambda format: format.name != "prompt_completion")
    wanted = [format_named(data.format)] if data.format else FORMATS
    expected = "; ".join(f"{format.name}: {' and '.join(format.needs)}" for format in wanted)
    offered = (format for format in likely if format in wanted)
    guesses = {format: guess for format in offered if (guess := _guess(format, found, data.columns))}
    best = min(guesses, key=lambda format: _strangeness(format, guesses[format]), default=None)
    return Problem(
        key="data.format" if data.format else "data.path",
        found=f"no format fits the columns found: {', '.join(found) or 'none'}",
        allowed=f"expected columns are {expected}",
        hint=f"type {_shell(guesses[best])}" if best else _in_any_case(found, wanted),
    )


def _in_any_case(found: Sequence[str], wanted: Sequence[Format]) -> str:
    """An example to change, made of the columns that are there, in their order."""
    format = min((format for format in wanted if len(format.needs) <= len(found)), key=_ease, default=None)
    if format is None:
        return f"the data needs {len(wanted[0].needs)} such columns"
    named = {ours: theirs for ours, theirs in zip(format.needs, found, strict=False) if ours != theirs}
    return f"say which column is which, e.g. {_shell(named)}"


def _ease(format: Format) -> tuple[bool, int]:
    # Question and answer are what most files hold; one column can only be text.
    return format.name != "prompt_completion", -[each.name for each in FORMATS].index(format.name)


def _guess(format: Format, found: Sequence[str], mapped: Mapping[str, str]) -> dict[str, str]:
    """The override that would make `format` fit, as far as names tell; {} when one column has no candidate."""
    guess, free = dict(mapped), [name for name in found if name not in mapped.values()]
    for ours in (*format.needs, *format.may_have):
        theirs = None if ours in guess else _candidate(ours, free)
        if theirs is not None:
            free.remove(theirs)
            guess[ours] = theirs
    if not guess.keys() >= {*format.needs}:
        return {}
    return {ours: theirs for ours, theirs in guess.items() if ours != theirs}


def _candidate(ours: str, free: Sequence[str]) -> str | None:
    """A name that means the same before one that is only spelled alike: `Response`, not `Complex_CoT`, completes."""
    folded = {name.casefold(): name for name in reversed(free)}
    words = (ours, *_SYNONYMS.get(ours, ()))
    same = (folded[word] for word in words if word in folded)
    alike = (name for word in words if (name := nearest_name(word, free, likeness=_TYPO)))
    return ours if ours in free else next(same, None) or next(alike, None)


def _strangeness(format: Format, guess: Mapping[str, str]) -> tuple[float, int]:
    """How much of what the format needs has another name; of two, the one that reads more columns."""
    renamed = sum(ours != guess.get(ours, ours).casefold() for ours in format.needs)
    return renamed / len(format.needs), -len(guess)


def _shell(guess: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{ours}: {_in_yaml(theirs)}" for ours, theirs in guess.items())
    return f"data.columns={shlex.quote(f'{{{pairs}}}')}"


def _in_yaml(name: str) -> str:
    """A column name as it stands in a mapping on the command line; quoted where YAML would read something else."""
    return name if _PLAIN.fullmatch(name) and name.casefold() not in _YAML_WORDS else json.dumps(name)


def _preference_data(source: str) -> str:
    return (
        f"{source}: this is preference data, with a chosen and a rejected answer per row; tunekit learns from one "
        "answer. If chosen holds plain text, type data.columns='{completion: chosen}'."
    )


def _from_alpaca(row: Mapping[str, Any], layout: Layout) -> list[Message]:
    question = "\n".join(part for name in ("instruction", "input") if (part := _text(layout.get(row, name), name=name)))
    turns = [_pair(turn, number) for number, turn in enumerate(layout.get(row, "history") or (), start=1)]
    answer = _text(layout.get(row, "output"), name="output")
    return [message for pair in (*turns, (question, answer)) for message in _exchange(*pair)]


def _pair(turn: Any, number: int) -> tuple[str, str]:
    if not isinstance(turn, Sequence) or isinstance(turn, str) or len(turn) != 2:
        raise RowError(f"`history` turn {number} is not a pair of question and answer")
    return _text(turn[0]), _text(turn[1])


def _from_prompt(row: Mapping[str, Any], layout: Layout) -> list[Message]:
    prompt, completion = layout.get(row, "prompt"), layout.get(row, "completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        return [_message(turn, number) for number, turn in enumerate((*prompt, *completion), start=1)]
    return _exchange(_text(prompt, name="prompt"), _text(completion, name="completion"))


def _exchange(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _from_turns(row: Mapping[str, Any], layout: Layout) -> list[Message]:
    (column,) = format_named(layout.format).needs
    turns = layout.get(row, column)
    if turns is None:
        return []
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        raise RowError(f"`{layout.columns[column]}` is not a list of turns")
    return [_message(turn, number) for number, turn in enumerate(turns, start=1)]


_READERS = {
    "messages": _from_turns,
    "sharegpt": _from_turns,
    "alpaca": _from_alpaca,
    "prompt_completion": _from_prompt,
}


def _message(turn: Any, number: int) -> Message:
    if not isinstance(turn, Mapping):
        raise RowError(f"turn {number} is not an object with role and content (or from and value)")
    speaker = turn.get("role", turn.get("from"))
    if str(speaker).casefold() not in ROLES:
        raise RowError(f"turn {number} is spoken by {speaker!r}; known roles are {join_words(ROLES)}")
    said = turn.get("content", turn.get("value"))
    # Arrow fills keys that only other turns have with null.
    extra = {key: value for key, value in turn.items() if key not in _OF_A_TURN and value is not None}
    return {"role": ROLES[str(speaker).casefold()], "content": _content(said, number), **extra}


_OF_A_TURN = frozenset({"role", "from", "content", "value", "weight"})


def _content(said: Any, number: int) -> str:
    if not isinstance(said, list):
        return _text(said, name=f"turn {number}")
    kinds = {part.get("type") if isinstance(part, Mapping) else None for part in said}
    if kinds - {"text"}:
        raise RowError(f"turn {number} holds more than text ({', '.join(sorted(map(str, kinds - {'text'})))})")
    return "".join(cast(Mapping[str, str], part)["text"] for part in said)


def _says_something(message: Message) -> bool:
    return bool(message["content"].strip() or message.get("tool_calls"))


def _text(value: Any, *, name: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, (str, int, float)):
        return str(value)
    raise RowError(f"`{name}` is not text")
