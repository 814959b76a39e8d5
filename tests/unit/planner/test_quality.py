from __future__ import annotations

from dataclasses import replace
from typing import get_args

from memory_jobs import job

from tunekit.planner.quality import MEANING, Loss, in_order, losses_of
from tunekit.recipe.job import Quantization


def test_a_full_fine_tune_with_whole_states_gives_up_nothing() -> None:
    assert losses_of(job("full")) == frozenset()


def test_each_loss_is_seen() -> None:
    assert losses_of(job("lora")) == {"adapters"}
    assert losses_of(job("qlora")) == {"adapters", "4-bit base"}
    eight = Quantization(kind="int8", double_quant=False)
    assert losses_of(job("qlora", quantization=eight)) == {"adapters", "8-bit base"}
    assert losses_of(job("full", zero={"bf16_states": True})) == {"bf16 states"}
    assert losses_of(replace(job("full"), optimizer="paged_adamw_8bit")) == {"8-bit states"}


def test_every_loss_is_said_in_words_with_where_it_was_seen_and_in_one_order() -> None:
    assert set(MEANING) == set(get_args(Loss))
    assert in_order(frozenset({"bf16 states", "adapters"})) == ("adapters", "bf16 states")
