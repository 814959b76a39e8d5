"""Price lists as text become offers: tunekit's own columns, or those of SkyPilot's catalogue (`vms.csv`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tunekit.errors import Problem, RecipeError
from tunekit.prices.offers import Offer
from tunekit.units import GIB

OWN = ("provider", "gpu", "gpus", "price_total_usd_h", "spot_total_usd_h", "source", "data_date", "notes")
SKYPILOT = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "SpotPrice", "Region")
_OPTIONAL = frozenset({"notes", "spot_total_usd_h", "SpotPrice", "Region"})
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the file, with its number; faults are collected in `problems`."""

    file: str
    line: int
    cells: Mapping[str, str]
    problems: list[Problem]

    def text(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()

    def amount(self, column: str) -> float | None:
        """A number above 0; None where the cell is empty."""
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 < value < float("inf"):
            self.add(column, f"found {text!r}", "a number above 0, or nothing")
            return None
        return value

    def add(self, column: str, found: str, allowed: str) -> None:
        self.problems.append(Problem(key=column, where=f"{self.file}:{self.line}", found=found, allowed=allowed))


def read_price_list(text: str, *, file: str, provider: str = "", date: str = "") -> tuple[Offer, ...]:
    """The offers of one file; `provider` and `date` stand where a SkyPilot file has none.

    RecipeError: missing columns, or every cell that cannot be read, each with file, line and column.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=False)
    columns = tuple(reader.fieldnames or ())
    skypilot = "AcceleratorName" in columns
    _check_columns(columns, SKYPILOT if skypilot else OWN, file)
    problems: list[Problem] = []
    rows = (_Row(file, reader.line_num, cells, problems) for cells in reader)
    found = _skypilot(rows, provider, date) if skypilot else _own(rows)
    kept = tuple(found)
    if problems:
        raise RecipeError(problems[:_MOST_PROBLEMS], source=file)
    return kept


def _check_columns(columns: tuple[str, ...], wanted: tuple[str, ...], file: str) -> None:
    missing = [name for name in wanted if name not in columns and name not in _OPTIONAL]
    if missing:
        lists = f"{', '.join(OWN)}; or SkyPilot's {', '.join(SKYPILOT)}"
        problem = Problem(
            key="",
            where=f"{file}:1",
            found=f"no column {', '.join(missing)}; found {', '.join(columns) or 'nothing'}",
            allowed=f"a CSV file with {lists}",
        )
        raise RecipeError([problem], source=file)


def _own(rows: Iterable[_Row]) -> Iterator[Offer]:
    for row in rows:
        for column in ("provider", "gpu"):
            if not row.text(column):
                row.add(column, "empty", "text")
        count = _count(row, "gpus")
        price, spot = row.amount("price_total_usd_h"), row.amount("spot_total_usd_h")
        if price is None and spot is None:
            row.add("price_total_usd_h", "no price on demand and none for spot", "one of the two, USD per hour")
        yield Offer(
            provider=row.text("provider"),
            gpu=row.text("gpu"),
            count=count or 1,
            on_demand=price,
            spot=_real_spot(price, spot),
            source=row.text("source"),
            date=row.text("data_date"),
            note=row.text("notes"),
        )


def _skypilot(rows: Iterable[_Row], provider: str, date: str) -> Iterator[Offer]:
    """One offer per machine: the cheapest region, and the cheapest spot price anywhere."""
    cheapest: dict[tuple[str, str, int], Offer] = {}
    for row in rows:
        count = _whole(row.text("AcceleratorCount"))
        price, spot = row.amount("Price"), row.amount("SpotPrice")
        if not row.text("AcceleratorName") or (price is None and spot is None):
            # A machine without cards, or one that cannot be had now.
            continue
        if not count:
            # Azure sells parts of an A10: half a card trains nothing that is planned here.
            continue
        key = (row.text("InstanceType"), row.text("AcceleratorName"), count)
        offer = _skypilot_offer(row, count, (price, spot), provider=provider, date=date)
        cheapest[key] = _cheaper(cheapest[key], offer) if key in cheapest else offer
    yield from cheapest.values()


def _skypilot_offer(
    row: _Row, count: int, prices: tuple[float | None, float | None], *, provider: str, date: str
) -> Offer:
    threads, ram = _number(row.text("vCPUs")), _number(row.text("MemoryGiB"))
    return Offer(
        provider=provider,
        gpu=row.text("AcceleratorName"),
        count=count,
        on_demand=prices[0],
        spot=_real_spot(*prices),
        source=row.file,
        date=date,
        machine=row.text("InstanceType"),
        region=row.text("Region"),
        cores=None if threads is None else max(1, int(threads) // 2),
        ram_bytes=None if ram is None else int(ram * GIB),
    )


def _cheaper(one: Offer, other: Offer) -> Offer:
    first, second = sorted((one, other), key=lambda offer: (offer.on_demand is None, offer.on_demand or 0.0))
    spots = [offer.spot for offer in (first, second) if offer.spot is not None]
    return replace(first, spot=min(spots, default=None))


def _real_spot(price: float | None, spot: float | None) -> float | None:
    """RunPod's list repeats the price on demand where it has no other."""
    return None if spot is None or (price is not None and spot >= price) else spot


def _count(row: _Row, column: str) -> int | None:
    count = _whole(row.text(column))
    if count is None:
        row.add(column, f"found {row.text(column)!r}", "a whole number, 1 or more")
    return count


def _whole(text: str) -> int | None:
    value = _number(text)
    return int(value) if value is not None and value >= 1 and value == int(value) else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
