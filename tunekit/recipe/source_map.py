"""Reads YAML and remembers for every key in which file and line it stands and what was typed there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tunekit.errors import Problem, RecipeError
from tunekit.limits import TooLarge, check_tree, check_yaml_text, of_yaml_node

KeyPath = tuple[str, ...]

_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    |[-+]?\.[0-9_]+(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
# More digits than any count has stay text: Python refuses to convert thousands of them.
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,99})$")
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
# Timestamps stay text, and so do the octal 010, the sexagesimal 1:30 and 0x10: nothing changes its value silently.
_REPLACED = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:int", "tag:yaml.org,2002:timestamp")
_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in pairs if tag not in _REPLACED]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class RecipeLoader(yaml.SafeLoader):
    """YAML as recipes mean it: `1e-4` is a number, as OmegaConf reads it."""

    yaml_implicit_resolvers = dict(_RESOLVERS)


class RecipeDumper(yaml.SafeDumper):
    """Writes what `RecipeLoader` reads back unchanged."""

    yaml_implicit_resolvers = dict(_RESOLVERS)

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value out: anchors puzzle the reader."""
        return True


for _class in (RecipeLoader, RecipeDumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    _class.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where a key was written. `document` puts the recipe before its bases and the command line last."""

    document: int
    line: int
    column: int = 0
    file: str = ""
    raw: str | None = field(default=None, compare=False)
    """A plain scalar as it was typed; None for quoted text, lists and sections."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMap:
    """A YAML document as plain values, with the place of every key."""

    content: dict[str, Any]
    places: Mapping[KeyPath, Place]
    problems: tuple[Problem, ...]
    """Keys that stand twice in one section; the first is kept."""


def read_yaml(text: str, *, file: str, document: int = 0) -> SourceMap:
    """Read one YAML mapping; raises RecipeError, with the line, when the text is no YAML or no mapping."""
    try:
        return _read(text, file, document)
    except yaml.MarkedYAMLError as error:
        raise RecipeError([_syntax_problem(error, file)], source=file) from None
    except yaml.YAMLError as error:
        found = f"found a character that YAML does not allow ({str(error).splitlines()[0]})"
        raise RecipeError(
            [Problem(key="", where=file, found=found, hint="save the file as plain UTF-8 text")]
        ) from None
    except RecursionError:
        raise RecipeError([Problem(key="", where=file, found="found sections nested too deep to read")]) from None
    except TooLarge as error:
        hint = "write values out where they belong; a recipe is three levels deep"
        raise RecipeError([Problem(key="", where=file, found=f"found {error}", hint=hint)]) from None


def read_value(text: str) -> Any:
    """One value as a recipe would hold it. Raises yaml.YAMLError, also for one that is nested too deep or too large."""
    try:
        check_yaml_text(text)
        loader = RecipeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        check_tree(node, of_yaml_node)
        return _with_text_keys(loader.construct_document(node))
    except (TooLarge, RecursionError, ValueError) as error:
        raise yaml.YAMLError(str(error)) from None


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(inner) for key, inner in value.items()}
    return [_with_text_keys(inner) for inner in value] if isinstance(value, list) else value


def _read(text: str, file: str, document: int) -> SourceMap:
    check_yaml_text(text)
    loader = RecipeLoader(text)
    node = loader.get_single_node()
    if not isinstance(node, yaml.MappingNode):
        raise RecipeError([_no_mapping(node, file)], source=file)
    check_tree(node, of_yaml_node)
    walk = _Walk(file, document)
    walk.mapping(node, ())
    content = loader.construct_document(node)
    return SourceMap(content=content, places=walk.places, problems=tuple(walk.problems))


class _Walk:
    """Visits the nodes of one document, notes places and drops the second of two equal keys."""

    def __init__(self, file: str, document: int) -> None:
        self.file = file
        self.document = document
        self.places: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> None:
        """Note every key of a section; a repeated key is a problem that names both lines."""
        seen: dict[str, int] = {}
        kept = []
        # Merged sections first: what is written out stands over them.
        for key, value in sorted(node.value, key=lambda pair: pair[0].tag != _MERGE):
            name = str(key.value)
            if key.tag == _MERGE:
                self._merged(value, path)
            elif name in seen:
                self._repeated((*path, name), self._line(key), seen[name])
                continue
            else:
                seen[name] = self._line(key)
                # A key such as `1:` or `yes:` is its text, so that it is reported as an unknown name.
                key.tag = _TEXT
                self._entry((*path, name), key, value)
            kept.append((key, value))
        node.value = kept

    def _entry(self, path: KeyPath, marked: yaml.Node, value: yaml.Node) -> None:
        plain = isinstance(value, yaml.ScalarNode) and value.style is None
        column = marked.start_mark.column
        raw = str(value.value) if plain else None
        self.places[path] = Place(
            document=self.document, line=self._line(marked), column=column, file=self.file, raw=raw
        )
        if isinstance(value, yaml.MappingNode):
            self.mapping(value, path)
        elif isinstance(value, yaml.SequenceNode):
            for index, item in enumerate(value.value):
                self._entry((*path, str(index)), item, item)

    def _merged(self, value: yaml.Node, path: KeyPath) -> None:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            if isinstance(source, yaml.MappingNode):
                self.mapping(source, path)

    def _repeated(self, path: KeyPath, line: int, first: int) -> None:
        self.problems.append(
            Problem(
                key=".".join(path),
                where=f"{self.file}:{line}",
                found=f"found a second time; it stands in line {first} already",
                hint="keep one of the two",
            )
        )

    @staticmethod
    def _line(node: yaml.Node) -> int:
        return int(node.start_mark.line) + 1


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = f"{file}:{mark.line + 1}" if mark else file
    what = (error.problem or error.context or "this").replace("\n", " ")
    return Problem(key="", where=where, found=f"this is not YAML: {what}", hint=_syntax_hint(what))


def _syntax_hint(what: str) -> str:
    if "\\t" in what:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in what:
        return "check the indentation, and quote a text that holds `: `"
    if "single document" in what or "document" in what:
        return "a recipe is one document: remove the `---` in between"
    return "check brackets, quotes and indentation here and in the line above"


def _no_mapping(node: yaml.Node | None, file: str) -> Problem:
    if node is None:
        return Problem(
            key="",
            where=file,
            found="the file is empty",
            hint="start from a shipped one: tunekit recipes copy NAME FILE",
        )
    kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
    where = f"{file}:{node.start_mark.line + 1}"
    return Problem(key="", where=where, found=f"found {kind}", allowed="a recipe is sections of `key: value` lines")
