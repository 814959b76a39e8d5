"""Every key of a recipe as a value: read off the schema once, used by error messages, JSON Schema and the reference."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin

from pydantic import PlainSerializer
from pydantic.fields import FieldInfo

from tunekit.recipe.schema import LARGEST, Recipe, Section

Kind = Literal["text", "whole number", "number", "flag", "choice", "texts", "choices", "text or texts", "mapping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of a number; None where there is none. `least`/`most` are allowed themselves, `above`/`below` are not."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    @property
    def words(self) -> str:
        """The limits in words: `1 to 1024`, `0 to below 1`, `1 or more`, or nothing."""
        low = f"above {self.above:g}" if self.above is not None else _number(self.least)
        high = f"below {self.below:g}" if self.below is not None else _number(self.most)
        if low and high:
            return f"{low} to {high}"
        if low:
            return low if self.above is not None else f"{low} or more"
        return f"up to {high}" if high else ""

    def allows(self, value: float) -> bool:
        """Whether a number lies within the limits; without an upper one, up to the largest that any recipe takes."""
        high_enough = self.least is None or value >= self.least
        low_enough = value <= (LARGEST if self.most is None else self.most)
        inside = (self.above is None or value > self.above) and (self.below is None or value < self.below)
        return high_enough and low_enough and inside

    def nearest(self, value: float) -> float | None:
        """The closest allowed number, where the limit that was crossed is itself allowed."""
        if self.least is not None and value < self.least:
            return self.least
        if value > (LARGEST if self.most is None else self.most):
            return LARGEST if self.most is None else self.most
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: where it stands, what it takes, what it means when it is left out."""

    path: str
    """Dotted, e.g. `method.rank`."""
    kind: Kind
    auto: bool
    """True where `auto` (or leaving it out) lets the planner decide."""
    off: bool
    """True where `off` turns it off; YAML reads a bare `off` as false."""
    nullable: bool
    """True where `null` means "not set"."""
    required: bool
    default: Any
    choices: tuple[str | int, ...]
    bounds: Bounds
    description: str
    example: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def section(self) -> str:
        """The part before the name; empty for a key of the top level."""
        return self.path.rpartition(".")[0]

    @property
    def sample(self) -> str:
        """A value that may stand here, as it would be typed."""
        if self.kind == "mapping":
            return "{prompt: question, completion: answer}"
        return self.example or self.standard

    @property
    def standard(self) -> str:
        """What stands here when it is left out, in YAML."""
        word = "auto" if self.auto else "off" if self.off else ""
        return word if word and self.default is None else in_yaml(self.default)

    @property
    def takes_text(self) -> bool:
        """True where a word, a version or a path belongs, so that `1.10` and `no` are meant literally."""
        return self.kind in ("text", "text or texts")

    @property
    def allowed(self) -> str:
        """What may stand here, in words."""
        word = ", or auto" if self.auto else ", or off" if self.off else ""
        return f"{self._values}{word}"

    @property
    def _values(self) -> str:
        if self.kind in ("choice", "choices"):
            listed = join_words(str(choice) for choice in self.choices)
            return listed if self.kind == "choice" else f"a list of {listed}"
        if self.kind in ("number", "whole number"):
            return f"a {self.kind}, {self.bounds.words}" if self.bounds.words else f"a {self.kind}"
        return _WORDS[self.kind]


_WORDS: Mapping[str, str] = {
    "text": "text",
    "flag": "true or false",
    "texts": "a list of texts",
    "text or texts": "text or a list of texts",
    "mapping": "a mapping of text to text",
}


def spelled(path: Iterable[str]) -> str:
    """A key path as a person writes it: `output.sample_prompts[0]`."""
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path).lstrip(".")


def in_yaml(value: Any) -> str:
    """A default as YAML has it: `true`, `null`, `[a, b]`."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(str, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def join_words(words: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = tuple(words)
    return f"{', '.join(most)} or {last}" if most else last


def nearest_name(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known name most like `name`, whatever its case; None below `likeness` (0 to 1)."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=likeness)
    return by_folded[found[0]] if found else None


@cache
def sections() -> Mapping[str, type[Section]]:
    """The sections of a recipe by name, in the order of the schema."""
    return {
        name: field.annotation
        for name, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }


@cache
def all_keys() -> Mapping[str, Key]:
    """Every key by its dotted path, in the order of the schema."""
    keys: dict[str, Key] = {}
    for name, field in Recipe.model_fields.items():
        section = sections().get(name)
        fields = (
            {f"{name}.{inner}": value for inner, value in section.model_fields.items()} if section else {name: field}
        )
        keys.update({path: _key(path, value) for path, value in fields.items()})
    return keys


def is_key(path: str) -> bool:
    """A key, or a part below one, as of a mapping; a section is none."""
    parts = path.split(".")
    return any(".".join(parts[:depth]) in all_keys() for depth in (1, 2))


def position(path: str) -> int:
    """Where a key stands in the order of the schema; what is no key comes last."""
    keys = tuple(all_keys())
    return keys.index(path) if path in keys else len(keys)


def names_in(section: str) -> tuple[str, ...]:
    """Names that may stand in a section; those of the top level for an empty name."""
    if section:
        return tuple(sections()[section].model_fields)
    return ("base", *Recipe.model_fields)


def _key(path: str, field: FieldInfo) -> Key:
    kind, choices = _kind(_without_none(field.annotation))
    words = {_none_word(extra) for extra in field.metadata if isinstance(extra, PlainSerializer)}
    return Key(
        path=path,
        kind=kind,
        auto="auto" in words,
        off="off" in words,
        nullable=type(None) in get_args(field.annotation) and not words,
        required=field.is_required(),
        default=None if field.is_required() else field.get_default(call_default_factory=True, validated_data={}),
        choices=choices,
        bounds=_bounds(field),
        description=field.description or "",
        example=str(field.examples[0]) if field.examples else "",
    )


def _none_word(serializer: PlainSerializer) -> str:
    """How a key without a value is written: `auto` or `off`."""
    write = cast("Callable[[Any], str]", serializer.func)
    return write(None)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    rest = tuple(part for part in get_args(annotation) if part is not type(None))
    return rest[0] if len(rest) == 1 else rest


def _kind(annotation: Any) -> tuple[Kind, tuple[str | int, ...]]:
    simple: dict[Any, Kind] = {str: "text", int: "whole number", float: "number", bool: "flag"}
    if isinstance(annotation, tuple):
        return "text or texts", ()
    if annotation in simple:
        return simple[annotation], ()
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if get_origin(annotation) is dict:
        return "mapping", ()
    inner = get_args(annotation)[0]
    return ("texts", ()) if inner is str else ("choices", get_args(inner))


def _bounds(field: FieldInfo) -> Bounds:
    limits = {
        name: getattr(extra, name)
        for extra in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(extra, name)
    }
    return Bounds(least=limits.get("ge"), above=limits.get("gt"), most=limits.get("le"), below=limits.get("lt"))


def _number(value: float | None) -> str:
    return "" if value is None else str(int(value)) if value == int(value) else f"{value:g}"
