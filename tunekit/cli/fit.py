"""`tunekit fit`: search the plans of a model on a machine, print the frontier, write the best as a recipe."""

from __future__ import annotations

import json as jsonlib
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import typer

from tunekit.cli.comparing import Comparing, Elsewhere, Priced
from tunekit.cli.new_file import refuse_existing, write_new
from tunekit.cli.next_command import After
from tunekit.errors import UsageError
from tunekit.notebook import fit
from tunekit.planner.plan import Trust
from tunekit.planner.search_result import Goal, SearchResult
from tunekit.recipe.schema import MethodKind
from tunekit.units import parse_count

REJECTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user typed behind `tunekit fit`."""

    model: str
    overrides: tuple[str, ...] = ()
    on: str | None = None
    method: str | None = None
    tokens: int | None = None
    data: str | None = None
    goal: str = "speed"
    trust: str = "both"

    @property
    def typed(self) -> str:
        """The same words again, as they are typed in a shell."""
        flags = {"on": self.on, "method": self.method, "tokens": self.tokens, "data": self.data}
        words = ["tunekit", "fit", self.model, *self.overrides]
        words += [part for name, value in flags.items() if value is not None for part in (f"--{name}", str(value))]
        words += ["--goal", self.goal] if self.goal != "speed" else []
        words += ["--trust", self.trust] if self.trust != "both" else []
        return shlex.join(words)


def tokens_typed(text: str | None) -> int | None:
    """The number behind `--tokens`. UsageError: it is none."""
    count = None if text is None else parse_count(text)
    if text is not None and count is None:
        raise UsageError(f"--tokens {text}: must be a number of tokens, such as 10M, 1.5B or 10_000_000.")
    return count


def show_fit(
    asked: Asked, *, write: Path | None, json: bool, html: Path | None = None, comparing: Comparing | None = None
) -> None:
    """Search and print; exits with 3 where nothing fits. Raises what `fit` raises, and UsageError for a file there."""
    refuse_existing(write, html)
    found = fit(
        asked.model,
        asked.overrides,
        on=asked.on,
        method=cast("MethodKind | None", asked.method),
        tokens=asked.tokens,
        data=asked.data,
        goal=cast("Goal", asked.goal),
        trust=cast("Trust", asked.trust),
    )
    if found.hourly and found.plan and comparing:
        found = replace(found, hourly=comparing.hourly(found.plan.hardware))
    written = _write(found, write) if write is not None and found.recommended is not None else ""
    priced = _priced(found, html, comparing)
    elsewhere = Elsewhere.of(found.plan, found.tokens, priced) if found.plan and not found.recommended else None
    after = _after(found, asked, write, written, compared=comparing is not None)
    drawn = _draw(found, html, priced, after) if html is not None else ""
    if json:
        from tunekit.planner.search_json import search_to_json

        tree = search_to_json(found)
        if comparing and priced:
            tree["comparison"] = priced.tree()
        tree["cheapest_machine"] = elsewhere.tree() if elsewhere else None
        typer.echo(jsonlib.dumps(tree, indent=2))
    else:
        _print(found)
        if elsewhere:
            elsewhere.show()
        if comparing and priced:
            priced.show()
        typer.echo(drawn + after.text(_columns()))
    if found.recommended is None:
        raise typer.Exit(REJECTED)


def _priced(found: SearchResult, html: Path | None, comparing: Comparing | None) -> Priced | None:
    if found.plan is None:
        return None
    if comparing:
        return Priced.of(found.plan, comparing, found.tokens)
    return Priced.for_page(found.plan, found.tokens) if html else None


def _write(found: SearchResult, file: Path) -> str:
    from tunekit.planner.fit_recipe import recipe_text

    return f"Written to {file}{write_new(file, recipe_text(found))}."


def _draw(found: SearchResult, file: Path, priced: Priced | None, after: After) -> str:
    from tunekit.render.search_html import search_page

    text = search_page(found, priced.sections() if priced else (), after.sections)
    return f"\nDrawn in {file}{write_new(file, text)}: open it in a browser."


def _print(found: SearchResult) -> None:
    from rich.console import Console

    from tunekit.render.fit_text import render_search

    render_search(found, Console(highlight=False))


def _columns() -> int:
    from rich.console import Console

    return Console().width


def _after(found: SearchResult, asked: Asked, write: Path | None, written: str, *, compared: bool) -> After:
    """What was written, and the next command; none where the comparison that it would make was printed."""
    if found.recommended is None:
        kept = f" {write} was not written: there is no plan to keep." if write is not None else ""
        return After(done=f"Nothing was started.{kept}", typed="" if compared else f"{asked.typed} --compare")
    if write is None:
        return After(typed=f"{asked.typed} --write my.yaml")
    return After(done=written, typed=f"tunekit launch {shlex.quote(str(write))}")
