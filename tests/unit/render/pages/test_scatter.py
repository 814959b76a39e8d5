from __future__ import annotations

from dataclasses import replace

import pytest
from planning import LLAMA_8B
from searching import searched

from tunekit.render.pages.scatter import LOGARITHMIC, MARGIN, Scatter, scatter
from tunekit.speed.terms import Band


def picture() -> Scatter:
    found = scatter(searched(LLAMA_8B, "lora"))
    assert found is not None
    return found


def test_every_plan_that_fits_is_a_point_inside_the_picture() -> None:
    drawn = picture()
    assert len(drawn.frontier) == len(searched(LLAMA_8B, "lora").frontier)
    assert len(drawn.frontier) + len(drawn.behind) == len(searched(LLAMA_8B, "lora").candidates)
    assert all(0 <= each.x <= drawn.usable and 0 <= each.y <= 100 for each in (*drawn.frontier, *drawn.behind))


def test_more_memory_is_further_right_and_more_speed_is_higher() -> None:
    found, drawn = searched(LLAMA_8B, "lora"), picture()
    fastest = max(range(len(found.frontier)), key=lambda at: found.frontier[at].speed.tokens_per_second.expected)
    largest = max(range(len(found.frontier)), key=lambda at: found.frontier[at].device.expected_bytes)
    assert drawn.frontier[fastest].y == min(each.y for each in drawn.frontier) == pytest.approx(MARGIN, abs=1)
    assert drawn.frontier[largest].x == max(each.x for each in drawn.frontier)


def test_the_recommended_plan_is_one_point() -> None:
    (point,) = (each for each in picture().frontier if each.recommended)
    best = searched(LLAMA_8B, "lora").recommended
    assert best is not None
    assert point.typed == best.typed
    assert dict(point.facts)["Each GPU"].endswith("of 23.5 GiB")
    assert f"{best.speed.tokens_per_second.expected:,.0f} tokens/s" in point.said


def test_the_edge_never_falls_with_more_memory() -> None:
    edge = picture().edge
    assert [x for x, _ in edge] == sorted(x for x, _ in edge)
    assert [y for _, y in edge] == sorted((y for _, y in edge), reverse=True)


def test_speeds_far_apart_are_drawn_logarithmically() -> None:
    found = searched(LLAMA_8B, "lora")
    slow = found.candidates[-1]
    rate = slow.speed.tokens_per_second.expected / (2 * LOGARITHMIC)
    band = Band(low=rate, expected=rate, high=rate)
    slower = replace(slow, speed=replace(slow.speed, tokens_per_second=band))
    drawn = scatter(replace(found, candidates=(*found.candidates[:-1], slower)))
    assert drawn is not None
    numbers = [float(label.replace(",", "")) for _, label in drawn.y_ticks]
    assert numbers[0] > 0
    ratios = [after / before for before, after in zip(numbers, numbers[1:], strict=False)]
    assert ratios == [pytest.approx(ratio, rel=0.3) for ratio in [2.2] * len(ratios)]


def test_where_nothing_fits_there_is_no_picture() -> None:
    assert scatter(replace(searched(LLAMA_8B, "lora"), candidates=())) is None
