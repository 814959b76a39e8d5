from __future__ import annotations

import json
from datetime import date

from comparing import LIST, compared

from tunekit.planner.compare_json import comparison_tree

TODAY = date(2026, 11, 22)


def test_every_machine_is_in_it_with_source_and_age_of_each_price() -> None:
    tree = json.loads(json.dumps(comparison_tree(compared(), TODAY)))
    h100 = tree["rented"][0]
    assert h100["name"] == "1 x H100"
    assert h100["on_demand"] | {"usd": 0, "usd_per_million_tokens": 0} == {
        "usd_per_hour": 1.5,
        "usd": 0,
        "usd_per_million_tokens": 0,
        "provider": "Other",
        "source": LIST,
        "date": "2026-01-01",
        "days_old": 325,
        "note": None,
    }
    assert h100["spot"]["provider"] == "Third"
    assert (h100["spot"]["date"], h100["spot"]["days_old"]) == (None, None)
    assert "assumed: " in h100["assumed"]
    assert len(tree["rented"]) == len(compared().rented)


def test_the_own_machine_says_what_was_assumed_of_it() -> None:
    own = comparison_tree(compared(), TODAY)["own"]
    assert own["purchase"]["price"] == 42723
    assert own["purchase"]["currency"] == "CNY"
    assert any("households in China" in said for said in own["purchase"]["sources"])
    assert own["usd_per_million_tokens_never_idle"] == compared().own_usd_never_idle
    assert own["spot"] is None
