"""`tunekit recipes`: list, show, copy, schema."""

from __future__ import annotations

import json as jsonlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tunekit.cli.new_file import write_new
from tunekit.recipe.listing import Listed, listed_recipes, shipped_text

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 220
_PIPE = 1000


def list_recipes(*, json: bool) -> None:
    """Print the shipped recipes as a table, or as JSON."""
    listed = listed_recipes()
    if json:
        typer.echo(jsonlib.dumps([entry.as_dict() for entry in listed], indent=2))
    else:
        _print_table(listed)


def show_recipe(name: str) -> None:
    """Print a shipped recipe as it is; raises UsageError with the nearest names."""
    typer.echo(_text(name), nl=False)


def copy_recipe(name: str, file: Path) -> None:
    """Write a shipped recipe to a new file; raises UsageError and changes nothing when the file exists."""
    text = _text(name)
    target = file / f"{name}.yaml" if os.path.isdir(file) else file
    folder = write_new(target, text)
    typer.echo(f"Copied {name} to {target}{folder}. Next: tunekit plan {shlex.quote(str(target))}")


def print_schema() -> None:
    """Print the JSON Schema of recipes."""
    from tunekit.recipe.json_schema import json_schema

    typer.echo(jsonlib.dumps(json_schema(), indent=2))


def _text(name: str) -> str:
    try:
        return shipped_text(name)
    except KeyError:
        from tunekit.recipe.finding import unknown_name

        raise unknown_name(name) from None


def _print_table(listed: tuple[Listed, ...]) -> None:
    from rich.console import Console

    # A pipe gets whole lines, unless it says how wide it is; a terminal gets what it is wide enough for.
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    console = Console(width=_PIPE if piped else None)
    console.print(_wide_table(listed) if console.width >= _WIDE else _narrow_list(listed))
    console.print("tunekit recipes show NAME   tunekit recipes copy NAME FILE   tunekit plan NAME", highlight=False)


def _wide_table(listed: tuple[Listed, ...]) -> Table:
    table = _table("recipe", "model", "method", "ZeRO preset", "hardware", "verdict", "what it is for")
    for entry in listed:
        facts = (entry.model, entry.method, entry.zero, entry.hardware, entry.verdict)
        table.add_row(entry.name, *facts, entry.purpose)
    return table


def _narrow_list(listed: tuple[Listed, ...]) -> Table:
    from rich.padding import Padding
    from rich.table import Table

    grid = Table.grid()
    for entry in listed:
        grid.add_row(f"[bold]{entry.name}[/bold]  {entry.verdict} on {entry.hardware} with {entry.zero}")
        grid.add_row(Padding(entry.purpose, (0, 0, 0, 4)))
    return grid


def _table(*titles: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=title == "recipe")
    return table
