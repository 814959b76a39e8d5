"""The shipped list, and a user's own in its place."""

from __future__ import annotations

import csv
import os
from datetime import date
from pathlib import Path

import pytest

from tunekit.errors import UsageError
from tunekit.prices import loading
from tunekit.prices.loading import load_prices
from tunekit.prices.offers import age_days, offers, unknown_gpus

SKY = "InstanceType,AcceleratorName,AcceleratorCount,Price,SpotPrice,Region\n"


def test_every_row_that_is_shipped_is_an_offer() -> None:
    path = Path(loading.__file__).with_name("gpu_prices.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(load_prices()) == len(rows) == 332
    assert all(offer.source for offer in load_prices())


def test_it_is_the_list_that_the_founders_keep(shared_data: Path) -> None:
    shipped = Path(loading.__file__).with_name("gpu_prices.csv")
    assert shipped.read_bytes() == (shared_data / "gpu_prices.csv").read_bytes()


def test_only_these_cards_are_unknown() -> None:
    assert unknown_gpus(load_prices()) == ("B300", "GH200", "MI250X", "MI300X", "MI325X")


def test_two_4090() -> None:
    (cheapest, *_) = offers(load_prices(), card="rtx_4090", count=2)
    assert (cheapest.provider, cheapest.on_demand, cheapest.date) == ("Vast", 0.8, "2026-07 (v9 seed)")
    assert age_days(cheapest, date(2026, 11, 22)) == 144


def test_skypilots_folders(tmp_path: Path) -> None:
    for provider, price in (("aws", 55.0), ("vast", 15.0)):
        (tmp_path / provider).mkdir()
        (tmp_path / provider / "vms.csv").write_text(f"{SKY}x,H100,8,{price},,r\n", encoding="utf-8")
    day = 1_790_000_000
    os.utime(tmp_path / "vast" / "vms.csv", (day, day))
    (cheap, dear) = offers(load_prices(tmp_path), card="h100_80gb", count=8)
    assert (cheap.provider, dear.provider) == ("vast", "aws")
    assert cheap.date == "2026-09-21"
    assert cheap.source == str(tmp_path / "vast" / "vms.csv")


def test_one_file_replaces_the_shipped_list(tmp_path: Path) -> None:
    path = tmp_path / "lambda.csv"
    path.write_text(f"{SKY}x,A10,1,0.75,,r\n", encoding="utf-8")
    assert [(offer.provider, offer.card) for offer in load_prices(path)] == [("lambda", "a10")]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"prices: there is no file .*none\.csv"):
        load_prices(tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"there is no \.csv file in"):
        load_prices(tmp_path)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        load_prices(tmp_path / "x.csv")
