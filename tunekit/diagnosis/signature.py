"""`Signature`: words that a failing job writes, what they mean, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Trust = Literal["kernel", "exit", "error", "collective", "noise", "remark", "marker"]
"""How far words are to be believed, most first.

kernel: the kernel or a control group says it. exit: how a process ended. error: a Python error, a compiler's or a
library's own words. collective: what ranks say of their peers, mostly a consequence. noise: never a cause. remark:
worth a word beside the cause, and no failure by itself. marker: where the job was.
"""
BELIEVED: tuple[Trust, ...] = ("kernel", "exit", "error", "collective")
"""What may be the cause, in this order."""
Fault = Literal["GPU memory", "host memory"]
"""What a job with another plan may do without: the planner recomputes the cure."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One entry of the table. `{0}`, `{1}`, … in `cause` and `cure` are the groups of `pattern`.

    `source` is where the words were seen or are written: a thread (`DeepSpeed#4239`) or a file of the library's source.
    """

    name: str
    pattern: str
    cause: str
    cure: str
    source: str
    trust: Trust = "error"
    fault: Fault | None = None
    signal: int | None = None
    """The signal that means this, where an exit code is all there is."""
    value: bool = False
    """Its words are a number that was seen, and no message of an error."""
    needles: tuple[str, ...] = ()
    """Where the pattern is slow: plain words, one of which every hit has. A text without them is not searched."""
    deeper: tuple[str, ...] = ()
    """Names of signatures that say more where they are found in the same logs: this one only reports their result."""

    @property
    def seen(self) -> bool:
        """Whether its words are what somebody saw, who need not call it an error."""
        return self.value or self.trust in ("kernel", "exit")

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled once."""
        return re.compile(self.pattern, re.MULTILINE)

    def hits(self, text: str) -> Iterator[Hit]:
        """Every place of `text` that has these words, in order."""
        if self.needles and not any(needle in text for needle in self.needles):
            return iter(())
        return (
            Hit(
                signature=self,
                place=match.start(),
                end=match.end(),
                groups=tuple(group or "?" for group in match.groups()),
            )
            for match in self.regex.finditer(text)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A signature that was found: from where to where in the text, and with which words in the place of its groups."""

    signature: Signature
    place: int = 0
    end: int = 0
    groups: tuple[str, ...] = ()

    @property
    def cause(self) -> str:
        """The cause with its words put in."""
        return self.signature.cause.format(*self.groups)

    @property
    def cure(self) -> str:
        """The cure with its words put in."""
        return self.signature.cure.format(*self.groups)
