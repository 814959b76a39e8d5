"""Typed reads from a `config.json`: one clear `UsageError` instead of a shape that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tunekit.errors import UsageError

MOST: Mapping[str, int] = MappingProxyType({"num_hidden_layers": 10_000, "max_position_embeddings": 10**9})
MOST_ELSEWHERE = 10**7
"""Far above any model: a damaged file is refused, not counted through for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A model's configuration with its origin, for messages; a key that is null counts as missing."""

    values: Mapping[str, Any]
    source: str

    def number(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """The whole number at `key`, up to `MOST`; `default` where it is missing. Raises UsageError."""
        value = self.values.get(key)
        if value is None:
            value = default
        if value is None:
            raise UsageError(f"{self.source}: {key} is missing; a whole number of {least} or more belongs there.")
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{self.source}: {key} is {value!r}; a whole number of {least} or more belongs there.")
        most = MOST.get(key, MOST_ELSEWHERE)
        if value > most:
            raise UsageError(
                f"{self.source}: {key} is {value:,}; no model has more than {most:,}. The file is damaged."
            )
        return value

    def optional_number(self, key: str) -> int | None:
        """The whole number at `key`, or None where it is missing. Raises UsageError."""
        return None if self.values.get(key) is None else self.number(key)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """The truth value at `key`; `default` where it is missing. Raises UsageError."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise UsageError(f"{self.source}: {key} is {value!r}; true or false belongs there.")
        return value

    def numbers(self, key: str) -> tuple[int, ...]:
        """The list of whole numbers at `key`; empty where it is missing. Raises UsageError."""
        value = self.values.get(key) or ()
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, int) for item in value):
            raise UsageError(f"{self.source}: {key} is {value!r}; a list of layer numbers belongs there.")
        return tuple(value)

    def words(self, key: str) -> tuple[str, ...]:
        """The list of texts at `key`; empty where it is missing. Raises UsageError."""
        value = self.values.get(key) or ()
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise UsageError(f"{self.source}: {key} is {value!r}; a list of texts belongs there.")
        return tuple(value)

    def split(self, whole_key: str, whole: int, parts_key: str, parts: int) -> int:
        """`whole / parts`, which must come out even. Raises UsageError."""
        if whole % parts:
            raise UsageError(
                f"{self.source}: {whole_key} {whole} is not a multiple of {parts_key} {parts}; the file is damaged."
            )
        return whole // parts
