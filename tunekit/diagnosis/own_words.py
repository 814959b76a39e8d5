"""Whether a line is an error of its own, or only speaks of one: advice, settings, what a retry waits for."""

from __future__ import annotations

import re

from tunekit.diagnosis.signature import Hit

_LONGEST_LINE = 1 << 10
"""Characters before the end of the words that are looked at."""
_ERROR = re.compile(
    r"\b[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b|\b(?:(?i:error|fatal|critical|failed|failure)|WARN)\b"
    r"|\bAssertion\b|\bterminate called|\b[EF]\d{4} \d\d:"
)
"""What stands before or in the words of an error: its class, a level, torch's glog."""
_SPEAKS_OF = re.compile(
    r"(?i)(?<![\w/.-])(?:tips?|hints?|notes?|\w*warnings?|if|when|whenever|unless|until|in case|avoid|avoids|avoiding"
    r"|prevents?|preventing|for example|e\.g|such as|see|may(?! +\d)|might|could|can|should|retry|retries|retrying)"
    r"(?![\w/-]|\.\w)"
)
"""No part of a path, and not the month of May."""
_DATES = "Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|UTC|GMT|CET|CEST"
_ONLY_A_PREFIX = re.compile(rf"(?:[\s\d\[\]():.,TZ+|/-]|{_DATES}|(?i:rank|worker))*")
"""Times and ranks: what follows them is the beginning of what is said."""


def is_told(hit: Hit, text: str, *, failed: bool = False) -> bool:
    """Whether the line of `text` that has the words says that it happened, and does not only speak of it.

    What a kernel writes and a value needs no sign of an error, and no words do where it is known that the job `failed`.
    """
    first = max(0, hit.end - _LONGEST_LINE)
    line = max(first, text.rfind("\n", first, hit.end) + 1)
    head, words = text[line : hit.end], max(0, hit.place - line)
    error = _ERROR.search(head)
    begin = words if error is None else min(words, error.start())
    if _SPEAKS_OF.search(head, 0, begin):
        return False
    return failed or error is not None or hit.signature.seen or _ONLY_A_PREFIX.fullmatch(head, 0, begin) is not None
