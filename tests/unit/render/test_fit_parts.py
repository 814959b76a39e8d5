from __future__ import annotations

from dataclasses import replace

import pytest
from planning import LLAMA_8B
from searching import searched

from tunekit.notebook import fit
from tunekit.planner.search_result import Candidate
from tunekit.render.fit_parts import (
    MOST_ROWS,
    cost_words,
    count_line,
    duration,
    given_up,
    gives_up,
    headline,
    hours_title,
    passes,
    placement,
    recommended_lines,
    rows,
    truth,
)
from tunekit.speed.terms import Band


def best() -> Candidate:
    found = searched(LLAMA_8B, "lora").recommended
    assert found is not None
    return found


def test_rows_hold_the_best_and_the_runner_up_and_each_placement_once() -> None:
    for goal in ("speed", "memory", "cost"):
        found = searched(LLAMA_8B, None, goal)  # type: ignore[arg-type]
        shown = [row.candidate for row in rows(found)]
        assert found.recommended in shown
        assert found.runner_up in shown
        assert len(shown) <= MOST_ROWS
        assert len({(each.method, placement(each), each.losses) for each in shown}) == len(shown)


def test_placements_and_passes_are_short_words() -> None:
    zero = replace(best().zero, stage=3, offload_param="cpu", offload_optimizer="nvme")
    assert placement(replace(best(), zero=zero)) == "LoRA, ZeRO-3, weights in RAM, optimizer on NVMe"
    part = replace(zero, offload_param="none", offload_optimizer="cpu", offload_ratio=0.4)
    assert placement(replace(best(), zero=part)) == "LoRA, ZeRO-3, 40% of optimizer in RAM"
    one = replace(best(), micro_batch_size=1, activation_checkpointing=False, packing=True)
    assert passes(one) == "1 row a pass, activations kept, packed"
    assert gives_up(replace(best(), losses=())) == "gives up nothing"


@pytest.mark.parametrize(("seconds", "text"), [(42, "42 s"), (780, "13 min"), (30_000, "8.3 h"), (12 * 86400, "12 d")])
def test_durations_are_narrow(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_carry_the_numbers_of_the_candidate() -> None:
    found = searched(LLAMA_8B, "lora")
    lines = dict(recommended_lines(found, best()))
    assert f"{best().speed.tokens_per_second.expected:,.0f} tokens/s" in lines["Speed"]
    assert lines["Keys"] == best().typed
    assert "of any data" in lines["Run"]
    assert headline(found) == "LoRA of Llama-3.1-8B-Instruct on dual_rtx4090"
    assert hours_title(found) == "1 M tok."
    assert f"{found.plans:,} plans" in count_line(found)
    assert "tunekit hardware probe" in truth(found)


def test_where_cost_is_the_goal_every_plan_has_its_money_and_the_cheapest_is_recommended() -> None:
    found = fit(LLAMA_8B, on="dual_rtx4090", method="lora", goal="cost", tokens=10_000_000)
    best = found.recommended
    assert best is not None
    assert found.hourly is not None
    cost = found.cost(best)
    assert cost == pytest.approx(best.run.hours.expected * found.hourly.amount)
    equal = [found.cost(each) or 0.0 for each in found.frontier if each.losses == best.losses]
    assert cost is not None
    assert cost <= 1.005 * min(equal)
    told = dict(recommended_lines(found, best))["Cost"]
    assert told.startswith(f"{cost_words(found, best)} CNY: electricity of 1,000 W")
    assert "Cost" not in dict(recommended_lines(replace(found, hourly=None), best))


def test_the_rule_behind_the_choice_is_told_where_plans_give_up_unlike_things() -> None:
    assert ("the rule", "each of these must make a plan 1.4 times as good for speed, or it is left") in given_up(
        searched(LLAMA_8B, None)
    )


def test_long_runs_are_told_without_powers_of_ten() -> None:
    found = searched(LLAMA_8B, "lora")
    assert found.recommended is not None
    run = found.recommended.run
    long = replace(found.recommended, run=replace(run, kwh=Band(low=1.0, expected=1530.0, high=2000.0)))
    assert dict(recommended_lines(found, long))["Run"].endswith(", 1,530 kWh")


def test_what_a_run_wears_off_the_drive_is_told_and_counted_where_its_price_is_known() -> None:
    found = fit(LLAMA_8B, on="dual_rtx4090", method="lora", goal="cost")
    assert found.hourly is not None
    plain = best()
    worn = replace(plain, run=replace(plain.run, nvme_bytes=238 * 10**12, nvme_life=0.198))
    lines = dict(recommended_lines(found, worn))
    assert lines["Drive"] == "238.0 TB written to it, 19.8% of what the drive is rated for"
    assert lines["Cost"].endswith("; wear of the drive is not in it: the hardware file says no `price` of it")
    assert found.cost(worn) == pytest.approx(found.cost(plain))
    priced = replace(found, hourly=replace(found.hourly, drive=850.0))
    assert priced.cost(worn) == pytest.approx((found.cost(plain) or 0.0) + 168.3)
    assert dict(recommended_lines(priced, worn))["Cost"].endswith("; 168.30 of it is wear of the drive")
    unrated = replace(worn, run=replace(worn.run, nvme_life=None))
    assert "says no `endurance_tb` of it" in dict(recommended_lines(priced, unrated))["Cost"]
    hired = replace(found, hourly=replace(found.hourly, drive=0.0))
    for told, candidate in ((hired, worn), (priced, plain)):
        assert "wear" not in dict(recommended_lines(told, candidate))["Cost"]
    assert "Drive" not in dict(recommended_lines(found, plain))
