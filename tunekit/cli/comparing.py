"""`--compare`: the same job on the own machine and on rented ones, printed, as JSON, or as part of a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tunekit.errors import UsageError

if TYPE_CHECKING:
    from tunekit.hardware.spec import Hardware
    from tunekit.planner.compare import Comparison, Side
    from tunekit.planner.plan import Plan
    from tunekit.prices.hourly import Hourly
    from tunekit.render.pages.parts import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """What was typed about prices: what the own machine costs, and the price list."""

    own: tuple[str, ...] = ()
    prices: Path | None = None

    def hourly(self, hardware: Hardware) -> Hourly:
        """What an hour costs with these words."""
        from tunekit.prices.hourly import hourly_of
        from tunekit.prices.loading import load_prices
        from tunekit.prices.owning import owned

        mine = owned(hardware, self.own) if self.own else None
        return hourly_of(hardware, load_prices(self.prices), mine.own if mine else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A comparison, with the day on which it was made: prices are told their age."""

    found: Comparison
    today: date

    @classmethod
    def of(cls, plan: Plan, asked: Comparing | None, tokens: int | None = None) -> Self:
        """Compare a plan. Raises UsageError for a price list or a word about the own machine that is wrong."""
        from tunekit.planner.compare import compare
        from tunekit.prices.loading import load_prices
        from tunekit.prices.owning import owned

        asked = asked or Comparing()
        own = owned(plan.hardware, asked.own)
        return cls(found=compare(plan, load_prices(asked.prices), owned=own, tokens=tokens), today=date.today())

    @classmethod
    def for_page(cls, plan: Plan, tokens: int | None = None) -> Self:
        """For a page of which nobody said what to compare: without owning where its profile's currency is unknown."""
        from tunekit.planner.compare import compare
        from tunekit.prices.loading import load_prices

        try:
            return cls.of(plan, None, tokens)
        except UsageError:
            return cls(found=compare(plan, load_prices(), owned=None, tokens=tokens), today=date.today())

    def tree(self) -> dict[str, Any]:
        """For JSON."""
        from tunekit.planner.compare_json import comparison_tree

        return comparison_tree(self.found, self.today)

    def show(self) -> None:
        """Print it."""
        from rich.console import Console

        from tunekit.render.compare_text import render_comparison

        render_comparison(self.found, Console(highlight=False), self.today)

    def sections(self) -> tuple[Section, ...]:
        """For a page."""
        from tunekit.render.pages.compare_view import compare_sections

        return compare_sections(self.found, self.today)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The machine that can be rented on which what does not fit here costs least."""

    side: Side
    tokens: int
    today: date

    @classmethod
    def of(cls, plan: Plan, tokens: int, priced: Priced | None = None) -> Self | None:
        """The cheapest for the whole job, of a comparison where there is one."""
        from tunekit.planner.cheapest import find_cheapest
        from tunekit.planner.compare import cheapest_machine
        from tunekit.prices.loading import load_prices

        if priced is not None:
            side = cheapest_machine(priced.found.rented)
        else:
            side = find_cheapest(plan, load_prices(), tokens=tokens)
        return None if side is None else cls(side=side, tokens=tokens, today=date.today())

    def tree(self) -> dict[str, Any]:
        """For JSON."""
        from tunekit.planner.compare_json import side_tree

        return side_tree(self.side, self.today)

    def show(self) -> None:
        """Print it."""
        from rich.console import Console

        from tunekit.render.compare_parts import cheapest_line
        from tunekit.render.plain import without_trailing_spaces

        console = Console(highlight=False)
        with without_trailing_spaces(console):
            console.print(f"\n{cheapest_line(self.side, self.tokens, self.today)}", markup=False)
