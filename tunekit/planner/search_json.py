"""A search result as JSON: every field of `SearchResult` under its own name."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from tunekit.planner.search_result import SearchResult


@cache
def _adapter() -> TypeAdapter[SearchResult]:
    return TypeAdapter(SearchResult)


def search_to_json(found: SearchResult) -> dict[str, Any]:
    """The result as JSON values: the same on every machine for the same words and declared hardware."""
    tree: dict[str, Any] = _adapter().dump_python(found, mode="json")
    both = ((found.recommended, tree["recommended"]), (found.runner_up, tree["runner_up"]))
    for candidate, value in (*zip(found.candidates, tree["candidates"], strict=True), *both):
        if candidate is not None:
            value["settings"] = dict(candidate.settings)
    return tree
