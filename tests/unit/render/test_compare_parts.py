from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from comparing import LIST, compared, offer

from tunekit.render import compare_parts
from tunekit.render.compare_parts import SHOWN, figures, money, seen, shown
from tunekit.speed.terms import Band

TODAY = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("amount", "text"), [(None, "-"), (0.0331, "0.033"), (0.42, "0.42"), (14.94, "14.94"), (1240.4, "1,240")]
)
def test_money_has_more_digits_where_it_is_small(amount: float | None, text: str) -> None:
    assert money(amount) == text


def test_an_old_price_says_how_old_it_is_and_one_without_a_date_that_it_has_none() -> None:
    assert seen(offer("H100"), TODAY) == "Cloud, 2026-11-01 (prices)"
    assert seen(offer("H100", date="2026-08-24"), TODAY) == "Cloud, 2026-08-24 (prices)"
    assert seen(offer("H100", date="2026-08-23"), TODAY) == "Cloud, 2026-08-23, 91 days old (prices)"
    assert seen(offer("H100", date="", note="odd"), TODAY) == "Cloud, no date (prices); odd"
    assert seen(offer("H100", source="mine.csv"), TODAY) == "Cloud, 2026-11-01 (mine.csv)"
    assert LIST.startswith("someone/")


def test_the_ages_are_summed_up_and_fresh_prices_need_no_word() -> None:
    line = compare_parts.age_line(compared(), TODAY)
    assert line.startswith("1 of 3 prices are older than 90 days (up to 325) and 1 have no date")
    fresh = replace(compared(), rented=tuple(replace(each, offer=offer("x"), spot=None) for each in compared().rented))
    assert compare_parts.age_line(fresh, TODAY) == ""


def test_the_twin_of_the_own_machine_is_shown_however_dear_it_is() -> None:
    found = compared()
    cheap = found.rented[0]
    (twin,) = (each for each in found.rented if compare_parts.is_twin(each, found.own))
    many = replace(found, rented=(*[replace(cheap, name=f"{index}") for index in range(20)], twin))
    names = [each.name for each in shown(many)]
    assert len(names) == SHOWN
    assert names[-1] == twin.name


def test_a_machine_that_cannot_do_the_job_says_why_in_its_line() -> None:
    found = compared("full", "z3_offload")
    assert compare_parts.own_line(found) == found.own.reason
    assert figures(found.own)[0] == "rejected"


def test_a_row_of_what_does_not_fit_has_its_price_only() -> None:
    (refused,) = compare_parts.refused(compared())
    assert figures(refused) == ("rejected", "-", "-", "0.30", "-", "-", "-")


def test_the_break_even_is_told_as_hours_and_share_or_as_never() -> None:
    found = compared()
    cheap = found.rented[0]
    assert compare_parts.even_line(cheap, found).startswith(f"{cheap.even_hours:,.0f} h a month (")
    assert compare_parts.even_line(replace(cheap, even_hours=None), found).startswith("never: 1.50 $/hour")
    equal = replace(cheap, tokens_per_second=found.own.tokens_per_second)
    assert compare_parts.even_line(equal, found).endswith(" $/hour, as fast")


def test_what_is_not_known_of_the_own_machine_is_asked_for() -> None:
    found = replace(compared(), owned=None, own_usd_never_idle=None)
    assert "--own price=" in compare_parts.own_line(found)
    slower = replace(found, as_written=Band(low=1.0, expected=2345.0, high=3000.0))
    assert compare_parts.own_line(slower).startswith("planned anew like the others; as the recipe has it 2,345 tok")
    assert compare_parts.owned_lines(found) == ()


def test_the_cheapest_machine_is_told_with_money_per_hour_and_in_all() -> None:
    side = next(each for each in compared().fitting if each.name == "1 x H100")
    line = compare_parts.cheapest_line(side, 1_000_000, TODAY)
    assert line.startswith("The cheapest machine for the whole job: 1 x H100; 1 M tokens take ")
    assert f"cost {money(side.cost(1.5))} $ at 1.50 $/hour (Other, 2026-01-01, 325 days old" in line


def test_what_is_not_shown_is_counted() -> None:
    found = compared()
    assert compare_parts.more_line(found) == ""
    many = replace(found, rented=tuple(replace(found.rented[0], name=f"{index}") for index in range(SHOWN + 3)))
    assert compare_parts.more_line(many) == "and 3 more that it fits on: --json lists all"


def test_what_a_machine_gives_up_in_its_states_stands_in_its_row_and_is_explained_once() -> None:
    found = compared()
    cheap = replace(found.rented[0], losses=("adapters", "4-bit base", "8-bit states"))
    assert compare_parts.states(cheap) == "8-bit states"
    assert compare_parts.states(found.rented[0]) == compare_parts.states_line(found) == ""
    some = replace(found, rented=(cheap, cheap))
    assert (
        compare_parts.states_line(some)
        == "8-bit states: moments in 8 bits: as good as 32 in published runs (2110.02861)"
    )


def test_unknown_cards_are_named_with_what_to_do() -> None:
    line = compare_parts.unknown_line(compared())
    assert "does not know the cards: MI300X. " in line
    assert "--on FILE" in line
    assert compare_parts.unknown_line(replace(compared(), unknown=())) == ""


def test_every_column_of_money_says_its_currency() -> None:
    titles = [title for title in compare_parts.HEAD if title not in ("tokens/s", "time", "kWh")]
    assert len(titles) == 4
    assert all("$" in title for title in titles)
