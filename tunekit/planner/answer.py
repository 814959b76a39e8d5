"""An `Answer`: a value together with the decision that produced it, when the user did not write it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tunekit.planner.plan import Decision

Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[Value_co]):
    """`decision` is None when the user wrote the value."""

    value: Value_co
    decision: Decision | None = None


def written(value: Value) -> Answer[Value]:
    """The user's own value; nothing to explain."""
    return Answer(value=value)


def decided(key: str, value: Value, reason: str, *, rejected: Iterable[str] = ()) -> Answer[Value]:
    """A value the planner chose for `key`, why, and what it did not take."""
    return Answer(value=value, decision=decide(key, value, reason, rejected=rejected))


def decide(key: str, value: Any, reason: str, *, rejected: Iterable[str] = ()) -> Decision:
    """The decision alone, its value written as the user would type it."""
    return Decision(key=key, value=as_typed(value), reason=reason, rejected=tuple(rejected))


def as_typed(value: Any) -> str:
    """A value as it is typed after `key=`: `true`, `1e-4`, `[q_proj,v_proj]`, `none`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_as_typed(value)
    if isinstance(value, tuple):
        return "[" + ",".join(as_typed(item) for item in value) + "]"
    return str(value)


def _float_as_typed(value: float) -> str:
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"
