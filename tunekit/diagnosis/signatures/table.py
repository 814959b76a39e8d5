"""Every signature, in the order in which they are looked for: of two in the same lines the earlier one is the cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tunekit.diagnosis.signature import BELIEVED, Hit, Signature, Trust
from tunekit.diagnosis.signatures import building, configuring, keeping, memory, starting, stepping

SIGNATURES: tuple[Signature, ...] = (
    *memory.SIGNATURES,
    *keeping.SIGNATURES,
    *building.SIGNATURES,
    *stepping.SIGNATURES,
    *configuring.SIGNATURES,
    *starting.SIGNATURES,
)

Told = Callable[[Hit, str], bool]
"""Whether a hit in a text counts."""


def _always(hit: Hit, text: str) -> bool:
    return True


def named(name: str) -> Signature:
    """The signature of this name. KeyError: there is none."""
    return {signature.name: signature for signature in SIGNATURES}[name]


def hits_in(text: str, *trusts: Trust) -> Iterator[Hit]:
    """Every hit of the signatures of these trusts, the earlier signature of the table first."""
    wanted = (signature for signature in SIGNATURES if signature.trust in trusts)
    return (hit for signature in wanted for hit in signature.hits(text))


def recognise(text: str, *, within: str = "", told: Told = _always) -> Hit | None:
    """What a text says of a cause, the most trusted first.

    A hit that only reports what went wrong elsewhere gives way to that, where it stands in the text or in `within`.
    `told`: whether a hit counts.
    """
    found = (recognised_as(text, trust, within=within, told=told) for trust in BELIEVED)
    return next((hit for hit in found if hit is not None), None)


def recognised_as(text: str, trust: Trust, *, within: str = "", told: Told = _always) -> Hit | None:
    """The first hit of the signatures of one trust."""
    hits = (hit for hit in hits_in(text, trust) if told(hit, text))
    return next((next(_deeper(hit, within or text), hit) for hit in hits), None)


def _deeper(hit: Hit, text: str) -> Iterator[Hit]:
    """What stands behind a hit, the first in the text in front."""
    found = [deep for name in hit.signature.deeper for deep in named(name).hits(text)]
    return iter(sorted(found, key=lambda each: each.place))
