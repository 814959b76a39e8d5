"""The values of a DeepSpeed configuration against what its keys take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tunekit.ds_config.accepted_values import VALUES, Accepts
from tunekit.errors import Problem
from tunekit.recipe.keys import nearest_name
from tunekit.recipe.schema import LARGEST

_LONGEST = 60


def value_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Every known key whose value cannot stand there, in the order of the file; "auto" is left to others."""
    for key, value in _known_items(config):
        if value != "auto" and not VALUES[key].takes(value):
            yield wrong_value(key, value)


def wrong_value(key: str, value: Any) -> Problem:
    """What stands under a known key, and what may stand there."""
    accepts = VALUES[key]
    return Problem(
        key=key, found=f"found {shown(value)}", allowed=f"allowed: {accepts.words}", hint=_hint(accepts, value)
    )


def shown(value: Any) -> str:
    """A value as JSON has it, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    text = text if text.isprintable() else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _known_items(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        key = f"{prefix}{name}"
        if key in VALUES:
            yield key, value
            if isinstance(value, Mapping):
                yield from _known_items(value, f"{key}.")


def _hint(accepts: Accepts, value: Any) -> str:
    if accepts.choices and isinstance(value, str):
        near = nearest_name(value, accepts.choices)
        return f'write "{near}"' if near else ""
    meant = _meant(value)
    if meant is not None and accepts.takes(meant):
        return f"write {value.lower() if isinstance(value, str) else shown(meant)}"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"at most {LARGEST}" if number and value > LARGEST and accepts.bounds.most is None else ""


def _meant(value: Any) -> Any:
    """What was meant by a number or a flag in quotes, by 0 or 1 for a flag, and by 8.0 for a count."""
    if isinstance(value, str):
        return _unquoted(value)
    if value in (0, 1) and isinstance(value, int):
        return bool(value)
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _unquoted(text: str) -> Any:
    try:
        return json.loads(text.lower(), parse_constant=lambda _: None) if len(text) < _LONGEST else None
    except ValueError:
        return None
