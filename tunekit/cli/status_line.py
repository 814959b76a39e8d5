"""One line that says what is going on; where there is no terminal, a line for each thing, without what moves in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Report = Callable[[str], None]


def progress(console: Console, *, quiet: bool) -> AbstractContextManager[Report]:
    """Takes what is done now, often; shows it until it is left."""
    return nullcontext(lambda text: None) if quiet else _Status(console)


class _Status:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting")
        self._said = ""

    def __enter__(self) -> Report:
        self._status.__enter__()
        return self._report

    def __exit__(self, *_: object) -> None:
        self._status.__exit__(None, None, None)

    def _report(self, text: str) -> None:
        if text == self._said:
            return
        self._said = text
        self._status.update(text)
        if not self._console.is_terminal:
            self._console.print(text, highlight=False, markup=False)
