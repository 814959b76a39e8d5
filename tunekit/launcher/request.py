"""`LaunchRequest`: what will be started, as a value that can be printed, compared and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """One `deepspeed` command. `env` holds only what is set beyond the caller's environment; `files` maps path to text."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    cwd: str
