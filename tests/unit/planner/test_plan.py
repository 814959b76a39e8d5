from __future__ import annotations

import dataclasses

import pytest
from planning import laptop
from plans import DUAL_4090, make_plan

from tunekit.units import GIB


def test_the_repr_is_a_line_worth_reading() -> None:
    plan = make_plan(DUAL_4090, device_bytes=12 * GIB)
    assert repr(plan) == (
        "<Plan fits: lora of tiny/llama on dual_rtx4090; "
        "GPU 12.0 GiB of 23.0 GiB, host RAM 4.0 GiB of 20.0 GiB, disk 1.0 GiB of 100.0 GiB>"
    )


def test_without_cards_the_repr_has_no_gpu() -> None:
    assert "GPU" not in repr(make_plan(laptop()))


def test_a_notebook_gets_html() -> None:
    assert make_plan()._repr_html_().startswith("<div")


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_plan().verdict = "rejected"  # type: ignore[misc]
