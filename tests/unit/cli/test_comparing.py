from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import typer
from comparing import compared, planned

from tunekit.cli.comparing import Comparing, Priced
from tunekit.cli.plan import Views, show_plan
from tunekit.errors import UsageError
from tunekit.hardware.profiles import load_profile

LIST = "provider,gpu,gpus,price_total_usd_h,price_per_gpu_usd_h,spot_total_usd_h,source,commit,data_date,notes\n"


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """A price list of one machine."""
    path = tmp_path / "mine.csv"
    path.write_text(LIST + "Mine,H100,1,1.11,1.11,,a talk,,2026-11-20,\n", encoding="utf-8")
    return path


def test_a_price_list_of_the_user_takes_the_place_of_the_shipped_one(prices: Path) -> None:
    (side,) = Priced.of(planned(), Comparing(prices=prices)).found.rented
    assert (side.name, side.usd_per_hour) == ("1 x H100", 1.11)


def test_what_the_machine_costs_can_be_typed(prices: Path) -> None:
    owned = Priced.of(planned(), Comparing(own=("years=5",), prices=prices)).found.owned
    assert owned is not None
    assert owned.own.years == 5


def test_plan_prints_it_before_the_next_command(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_plan("codellama34b_qlora", [], on=None, trust="both", views=Views(comparing=Comparing(prices=prices)))
    printed = capsys.readouterr().out
    assert printed.index("Own or rent") < printed.index("\nNext: ")
    assert "1 x H100" in printed


def test_plan_puts_it_into_the_json(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    views = Views(json=True, comparing=Comparing(prices=prices))
    with pytest.raises(typer.Exit):
        show_plan("codellama34b_full", [], on=None, trust="both", views=views)
    tree = json.loads(capsys.readouterr().out)
    assert tree["comparison"]["rented"][0]["on_demand"]["provider"] == "Mine"
    assert tree["comparison"]["own"]["verdict"] == "rejected"


def test_a_faulty_word_stops_before_anything_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="--own years=-1"):
        show_plan("codellama34b_qlora", [], on=None, trust="both", views=Views(comparing=Comparing(own=("years=-1",))))
    assert capsys.readouterr().out == ""


def test_a_page_has_it_too(tmp_path: Path) -> None:
    file = tmp_path / "plan.html"
    show_plan("codellama34b_qlora", [], on=None, trust="both", views=Views(html=file))
    text = file.read_text(encoding="utf-8")
    assert "Price of a million tokens" in text
    assert text.count("x H100") > 2, "the shipped list"


def test_the_sections_of_a_page_are_those_of_the_comparison() -> None:
    titles = [each.title for each in Priced(found=compared(), today=date(2026, 11, 22)).sections()]
    assert titles[1:] == ["What owning counts", "Does not fit on"]


def test_an_hour_costs_what_was_typed_of_electricity_or_of_hire(prices: Path) -> None:
    mine = Comparing(own=("kwh=2",)).hourly(planned().hardware)
    assert (mine.amount, mine.currency) == (pytest.approx(2.0), "CNY")
    assert "at 2 CNY per kWh (as typed)" in mine.said
    typed = Comparing(own=("price=1", "currency=GBP", "kwh=0.25", "usd=0.8")).hourly(planned().hardware)
    assert (typed.amount, typed.currency) == (pytest.approx(0.25), "GBP")
    assert Comparing(prices=prices).hourly(load_profile("a100_80gb")).said.startswith("electricity of ")
