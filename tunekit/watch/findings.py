"""A finding is what a look at the machine shows that should not be; it is said when it begins and when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Change = Literal["began", "ended"]
EVENT = "watch"
"""What `event` says in events.jsonl."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`rule` and `place` tell findings apart; `todo` is what to type; one that `stops` ends the run.

    `saves`: before it ends, a checkpoint can and should be saved.
    """

    rule: str
    place: str
    text: str
    todo: str = ""
    stops: bool = False
    saves: bool = True

    @property
    def name(self) -> tuple[str, str]:
        """What makes it the same finding at the next look, whatever its numbers."""
        return self.rule, self.place

    def event(self, change: Change = "began") -> dict[str, Any]:
        """Its fields in events.jsonl."""
        return {
            "rule": self.rule,
            "place": self.place,
            "change": change,
            "text": self.text,
            "todo": self.todo,
            "stops": self.stops,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What is going on: findings that were said, and for how many looks in a row others were seen or missed."""

    said: Mapping[tuple[str, str], Finding] = field(default_factory=dict)
    seen: Mapping[tuple[str, str], int] = field(default_factory=dict)
    missed: Mapping[tuple[str, str], int] = field(default_factory=dict)


PATIENCE = 2
"""Looks in a row before a finding is said, and before its end is: one look is noise, but for one that stops the run."""


def follow(noted: Noted, found: Iterable[Finding]) -> tuple[Noted, tuple[tuple[Change, Finding], ...]]:
    """What is to be said after this look, and what to remember for the next."""
    now = {finding.name: finding for finding in found}
    seen = {name: noted.seen.get(name, 0) + 1 for name in now}
    missed = {name: noted.missed.get(name, 0) + 1 for name in noted.said if name not in now}
    began = {
        name: finding
        for name, finding in now.items()
        if name not in noted.said and (finding.stops or seen[name] >= PATIENCE)
    }
    ended = {name: noted.said[name] for name, count in missed.items() if count >= PATIENCE}
    said = {name: finding for name, finding in {**noted.said, **began}.items() if name not in ended}
    changes: list[tuple[Change, Finding]] = [("began", finding) for finding in began.values()]
    changes += [("ended", finding) for finding in ended.values()]
    return Noted(said=said, seen=seen, missed=missed), tuple(changes)


def sentence(event: Mapping[str, Any]) -> str:
    """One line for people, read from an event: what it is, and what to type."""
    text, todo = str(event.get("text", "")), str(event.get("todo", ""))
    if event.get("change") == "ended":
        return f"over: {text}"
    return f"{text}; {todo}" if todo else text
