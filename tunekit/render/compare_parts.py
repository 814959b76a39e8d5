"""What a comparison has to say, in words and numbers but without any layout."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from tunekit.planner.compare import Comparison, Side
from tunekit.planner.quality import MEANING
from tunekit.prices.costs import HOURS_A_MONTH
from tunekit.prices.offers import STALE_DAYS, Offer, age_days
from tunekit.render.fit_parts import duration
from tunekit.units import format_count, format_figure

SHOWN = 8
"""Rentable machines that are told of: the cheapest per token, and always the one with the cards of one's own."""
REFUSED = 4
HEAD = ("tokens/s", "time", "kWh", "$/hour", "$/job", "$ spot", "$/M tok.")
NONE = "-"


def shown(found: Comparison) -> tuple[Side, ...]:
    """The cheapest machines that the job fits, and the twin of one's own."""
    best = found.fitting[:SHOWN]
    twins = tuple(side for side in found.fitting[SHOWN:] if is_twin(side, found.own))
    return best[: SHOWN - len(twins)] + twins


def more_line(found: Comparison) -> str:
    """How many machines that the job fits are not told of; empty where all are."""
    more = len(found.fitting) - len(shown(found))
    return f"and {more} more that it fits on: --json lists all" if more else ""


def refused(found: Comparison) -> tuple[Side, ...]:
    """Those that the job does not fit, the cheapest first."""
    return tuple(side for side in found.rented if side.verdict == "rejected")


def is_twin(side: Side, own: Side) -> bool:
    """Whether a rented machine has the cards of one's own."""
    return [gpu.name for gpu in side.hardware.gpus] == [gpu.name for gpu in own.hardware.gpus]


def states(side: Side) -> str:
    """What a machine's plan gives up for optimizer states that are smaller: the search may choose so for each."""
    return ", ".join(loss for loss in side.losses if loss.endswith("states"))


def states_line(found: Comparison) -> str:
    """What that means, for all machines of the table together; empty where none gives up any."""
    every = {loss for side in (found.own, *shown(found)) for loss in side.losses if loss.endswith("states")}
    return "; ".join(f"{loss}: {MEANING[loss]}" for loss in MEANING if loss in every)


def figures(side: Side) -> tuple[str, ...]:
    """The cells of a row, in the order of `HEAD`."""
    if side.tokens_per_second is None or side.hours is None:
        return (side.verdict, *[NONE] * 2, money(side.usd_per_hour), *[NONE] * 3)
    price = side.usd_per_hour
    return (
        f"{side.tokens_per_second.expected:,.0f}",
        duration(3600 * side.hours.expected),
        NONE if side.kwh is None else format_figure(side.kwh),
        money(price),
        money(side.cost(price)),
        money(side.cost(side.spot_usd_per_hour)),
        money(side.per_million(price)),
    )


def money(amount: float | None) -> str:
    """Dollars, with more digits for the small: `0.013`, `0.42`, `7.47`, `1,240`."""
    if amount is None:
        return NONE
    return f"{amount:.3f}" if amount < 0.1 else f"{amount:,.2f}" if amount < 100 else f"{amount:,.0f}"


def price_lines(side: Side, today: date) -> Iterator[str]:
    """Where the prices of a machine were seen, and when; whether it only just fits."""
    if side.verdict == "tight":
        yield "tight: it may run out of memory"
    if side.offer is not None:
        yield seen(side.offer, today)
    if side.spot is not None and side.spot is not side.offer:
        yield f"spot: {seen(side.spot, today)}"


def seen(offer: Offer, today: date) -> str:
    """Provider, date with the age of an old price, and source."""
    age = age_days(offer, today)
    old = "" if age is None else f", {age} days old" if age > STALE_DAYS else ""
    note = f"; {offer.note}" if offer.note else ""
    return f"{offer.provider}, {offer.date or 'no date'}{old} ({_list_name(offer.source)}){note}"


def _list_name(source: str) -> str:
    """The repository or the file that a price stands in; --json has the whole path."""
    return source.partition(":")[0].rpartition("/")[2] or source


def age_line(found: Comparison, today: date) -> str:
    """How old the prices are that are shown; empty where all are fresh."""
    ages = [age_days(offer, today) for side in shown(found) for offer in (side.offer, side.spot) if offer is not None]
    old = [age for age in ages if age is not None and age > STALE_DAYS]
    parts = [f"{len(old)} of {len(ages)} prices are older than {STALE_DAYS} days (up to {max(old)})"] if old else []
    parts += [f"{ages.count(None)} have no date"] if None in ages else []
    return f"{' and '.join(parts)}: look before you rent, or give a newer list with --prices FILE." if parts else ""


def unknown_line(found: Comparison) -> str:
    """Cards of the price list that are not compared, and what to do about them; empty where all are known."""
    if not found.unknown:
        return ""
    return (
        f"Not compared, as tunekit does not know the cards: {', '.join(found.unknown)}. If one is in "
        "tunekit/hardware/gpus.yaml, call it in the price list as it is sold there; else write its numbers into a file "
        "as tunekit/hardware/README.md says, and plan for that: --on FILE."
    )


def cheapest_line(side: Side, tokens: int, today: date) -> str:
    """The machine that runs what does not fit here for least: money in all and per hour, time, whose price it is."""
    count = format_count(tokens).replace(".0 ", " ")
    time = "" if side.hours is None else f" take {duration(3600 * side.hours.expected)} and"
    told = "" if side.offer is None else f" ({seen(side.offer, today)})"
    return (
        f"The cheapest machine for the whole job: {side.name}; {count} tokens{time} cost "
        f"{money(side.cost(side.usd_per_hour))} $ at {money(side.usd_per_hour)} $/hour{told}."
    )


def heading(found: Comparison) -> str:
    """What is compared."""
    tokens = format_count(found.tokens).replace(".0 ", " ")
    return f"Own or rent, for {tokens} tokens (USD, expected; a volume is rented apart)"


def own_line(found: Comparison) -> str:
    """What the row of one's own machine counts."""
    return "; ".join(_own_words(found))


def _own_words(found: Comparison) -> Iterator[str]:
    if found.as_written is not None:
        yield f"planned anew like the others; as the recipe has it {found.as_written.expected:,.0f} tokens/s"
    if found.owned is None:
        yield "no purchase price is known: type --own price=… --own currency=…"
    elif found.own_usd_never_idle is not None:
        yield "electricity only"
        yield f"{money(found.own_usd_never_idle)} $/M tokens with the purchase, if it never idles"
    else:
        yield found.own.reason if found.own.verdict == "rejected" else "electricity only"


def even_line(side: Side, found: Comparison) -> str:
    """From how many hours a month on one's own machine is cheaper than this one."""
    own = found.own.tokens_per_second
    if own is None or side.tokens_per_second is None or side.usd_per_hour is None:
        return ""
    times = format_figure(side.tokens_per_second.expected / own.expected)
    fast = "as fast" if times == "1" else f"{times} times as fast"
    if side.even_hours is None:
        return f"never: {money(side.usd_per_hour)} $/hour, {fast}"
    share = side.even_hours / HOURS_A_MONTH
    return f"{side.even_hours:,.0f} h a month ({share:.0%}): {money(side.usd_per_hour)} $/hour, {fast}"


def owned_lines(found: Comparison) -> tuple[str, ...]:
    """What owning costs, and where the figures are from."""
    if found.owned is None:
        return ()
    own = found.owned.own
    costs = f"{own.monthly:,.0f} {own.currency} a month, and {own.hourly:,.2f} {own.currency} an hour while it trains"
    return costs, *found.owned.said
