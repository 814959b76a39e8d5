"""What a page is made of, as values: headline, tiles, and sections of pictures, tables, lines and texts to copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from tunekit.render.pages.bars import Chart, Charts
from tunekit.render.pages.scatter import Scatter

Look = Literal["text", "number", "code", "badge", "name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table; `more` stands under the text, smaller."""

    text: str
    look: Look = "text"
    more: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under headings; a table without headings is a list of names and values."""

    kind: ClassVar[str] = "table"
    caption: str
    rows: tuple[tuple[Cell, ...], ...]
    head: tuple[str, ...] = ()
    marked: int | None = None
    """The row that matters most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Sentences; the first stands out where `strong`."""

    kind: ClassVar[str] = "lines"
    lines: tuple[str, ...]
    strong: bool = False
    listed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text to copy, as it is."""

    kind: ClassVar[str] = "text"
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A figure of the headline."""

    name: str
    value: str
    more: str
    state: str = ""
    share: float | None = None
    """Filled part of the bar under it."""


Part: TypeAlias = Chart | Charts | Scatter | Table | Lines | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Parts under one heading; one that is not open shows its heading only until it is asked."""

    title: str
    parts: tuple[Part, ...]
    open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything on a page."""

    badge: str
    title: str
    reason: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]


def cells(*texts: str | Cell, look: Look = "text") -> tuple[Cell, ...]:
    """A row: the first cell is its name, the others look as said."""
    found = [text if isinstance(text, Cell) else Cell(text=text, look=look) for text in texts]
    if found and not isinstance(texts[0], Cell):
        found[0] = Cell(text=found[0].text, look="name")
    return tuple(found)


def next_section(lines: tuple[str, ...], typed: str) -> Section:
    """What stands in the way, and the command to type, where there is one."""
    said: tuple[Part, ...] = (Lines(lines=lines),) if lines else ()
    copied: tuple[Part, ...] = (Text(name="in a terminal", text=typed),) if typed else ()
    return Section(title="Next", parts=(*said, *copied))
