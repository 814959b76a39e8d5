"""Which rank failed first, and what it said: a rank that lost its peer tells of a consequence, not of the cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tunekit.diagnosis.signatures.starting import PEER_LOST

KILLED = "Killed"
"""The `type` in failure.json of a rank that ended without an error of its own."""
ENDED_AS_ASKED = "This rank ended because it was asked to."
"""The last words of a rank, in its log, after a signal or a stop request: somebody else's end may be behind that."""
_HTTP_PACKAGES = "requests|urllib3?|httpx|httpcore|aiohttp|botocore|huggingface_hub"
_OF_HTTP = re.compile(
    rf"(?:^|[\s(])(?:{_HTTP_PACKAGES})\.|-packages/(?:{_HTTP_PACKAGES})/|/python[\d.]+/(?:urllib|http)/"
    r"|/ssl\.py\"|HTTPS?ConnectionPool"
)
"""Exceptions and files of what speaks HTTP: the hub's, a tracker's, a store's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The rank, if it is known, and the last lines of what it said. `silent`: it was gone without a word.

    `signal`: an earlier reader has recorded what ended it.
    """

    rank: int | None = None
    lines: tuple[str, ...] = ()
    silent: bool = False
    signal: int | None = None

    @property
    def asked(self) -> bool:
        """Whether the rank ended because it was asked to."""
        return self.lines == (ENDED_AS_ASKED,)


def find_cause(
    told: Sequence[Cause],
    *,
    world_size: int,
    gone_first: int | None = None,
    by_signal: bool = False,
    otherwise: tuple[str, ...] = (),
) -> Cause:
    """The cause of a failure, from what the ranks told, the first to speak in front; `otherwise` where none did.

    `gone_first`: the rank seen to vanish first; `by_signal`: a signal was seen to end it, whatever others say of it.
    """
    if by_signal and gone_first is not None:
        last_words = (cause for cause in told if cause.rank == gone_first)
        return next(last_words, Cause(rank=gone_first, silent=True))
    firsthand = next((cause for cause in told if not is_consequence(cause)), None)
    if firsthand is not None:
        return firsthand
    silent = [rank for rank in range(world_size) if rank not in {cause.rank for cause in told}]
    if told and silent:
        return Cause(rank=gone_first if gone_first in silent else silent[0], silent=True)
    if told:
        return next((cause for cause in told if not cause.asked), told[0])
    if gone_first is not None:
        return Cause(rank=gone_first, silent=True)
    return Cause(lines=otherwise)


def is_consequence(cause: Cause) -> bool:
    """Whether a rank only tells that it was asked to end, or lost another one; a server that hung up is no rank."""
    if cause.asked:
        return True
    lost = any(PEER_LOST.regex.search(line) for line in cause.lines[-3:])
    return lost and not any(_OF_HTTP.search(line) for line in cause.lines)
