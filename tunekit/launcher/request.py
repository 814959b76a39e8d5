"""`LaunchRequest`: what will be started, as a value that can be printed, compared and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """One `deepspeed` command.

    `env` holds only what is set beyond the caller's environment, `unset` the caller's variables that must not reach
    the processes; `files` maps absolute path to text and is written before the start.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    unset: tuple[str, ...] = ()
    files: Mapping[str, str]
    cwd: str

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of the processes, from the caller's."""
        kept = {name: value for name, value in environ.items() if name not in self.unset}
        return {**kept, **self.env}
