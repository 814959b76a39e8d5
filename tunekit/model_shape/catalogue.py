"""Shapes of well-known models, shipped as data: planning them needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.shape import ModelShape


def find(hub_id: str) -> ModelShape | None:
    """The shape of a hub model, or None where the catalogue does not know it; upper and lower case are alike."""
    record = _records().get(hub_id.lower())
    if record is None:
        return None
    return shape_from_config(record["config"], name=hub_id, source="catalogue")


def names() -> tuple[str, ...]:
    """All hub names known, renamed ones included, in the order of the data file."""
    return tuple(name for record in _data() for name in record["names"])


def nearest(hub_id: str, count: int = 3) -> tuple[str, ...]:
    """Known names that look like `hub_id`, best first; a name without its owner is enough."""
    wanted = hub_id.lower()
    by_model = {name.lower().rpartition("/")[2]: name for name in reversed(names())}
    by_name = {name.lower(): name for name in names()}
    near = get_close_matches(wanted, by_name, n=count) or get_close_matches(
        wanted.rpartition("/")[2], by_model, n=count
    )
    return tuple((by_name | by_model)[match] for match in near)


def config_of(hub_id: str) -> Mapping[str, Any] | None:
    """The `config.json` keys that the catalogue holds for a hub model, or None."""
    record = _records().get(hub_id.lower())
    return None if record is None else record["config"]


@cache
def _data() -> tuple[Mapping[str, Any], ...]:
    text = files("tunekit.model_shape").joinpath("catalogue.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)["models"])


@cache
def _records() -> Mapping[str, Mapping[str, Any]]:
    return {name.lower(): record for record in _data() for name in record["names"]}
