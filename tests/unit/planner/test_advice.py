from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planning import CODELLAMA_34B, LLAMA_7B, LLAMA_8B, SMOLLM, laptop, machine, recipe_for, resolved, shape_of

from tunekit.hardware.spec import Hardware, Power
from tunekit.planner.advice import warnings_of
from tunekit.recipe.schema import Recipe
from tunekit.speed.estimate import estimate_speed
from tunekit.units import GB, GIB


def warnings(recipe: Recipe, hardware: Hardware | None = None) -> tuple[str, ...]:
    found = resolved(recipe, hardware)
    return warnings_of(found.settled, found.trial, "both")


def test_a_plain_plan_has_no_warning() -> None:
    assert warnings(recipe_for(LLAMA_8B, "lora")) == ()


def test_sharding_what_fits_whole_is_pointed_out() -> None:
    (text,) = warnings(recipe_for(LLAMA_8B, "lora", zero__preset="z3", train__micro_batch_size=1))
    assert re.match(r"zero\.preset=z\d fits too and is \d+% faster than z3: ", text)


def test_over_nvlink_sharding_costs_less_than_over_pcie() -> None:
    def gain(box: str) -> int:
        text = " ".join(warnings(recipe_for(LLAMA_8B, "lora", zero__preset="z3"), machine(box)))
        found = re.search(r"fits too and is (\d+)% faster", text)
        return int(found[1]) if found else 0

    assert gain("8x_h100_80gb") < gain("dual_rtx4090")


def test_without_cards_nobody_knows_what_is_faster() -> None:
    assert not any("faster" in text for text in warnings(recipe_for(SMOLLM, "lora", zero__preset="z3"), laptop()))


def test_a_rung_that_is_needed_is_not_pointed_out() -> None:
    assert warnings(recipe_for(CODELLAMA_34B, "lora", zero__preset="z3_offload_param")) == ()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"train__max_seq_length": 16384}, ("16,384", "8,192 positions")),
        ({"train__precision": "fp16"}, ("bf16", "65,504")),
        ({"model__attention": "eager", "train__max_seq_length": 4096}, ("eager", "4,096")),
        ({"zero__preset": "z2", "zero__reduce_bucket_size": 500_000_000}, ("500,000,000", "954 MiB")),
        ({"train__max_steps": 10, "output__save_steps": 100}, ("output.save_steps", "10")),
    ],
)
def test_warnings_carry_their_numbers(keys: dict[str, Any], words: tuple[str, ...]) -> None:
    found = warnings(recipe_for(SMOLLM, "lora", **keys))
    assert any(all(word in text for word in words) for text in found), found


def test_fp4_is_pointed_out() -> None:
    assert any("fp4" in text for text in warnings(recipe_for(SMOLLM, "qlora", method__quantization="fp4")))


@pytest.mark.parametrize("bf16", [False, True])
def test_what_swapping_wears_is_the_number_of_the_speed_model(bf16: bool) -> None:
    recipe = recipe_for(
        LLAMA_7B,
        "full",
        zero__stage=3,
        zero__offload_optimizer="nvme",
        zero__bf16_states=bf16,
        zero__nvme_path="/mnt/nvme",
    )
    trial = resolved(recipe).trial
    speed = estimate_speed(trial.job, shape_of(LLAMA_7B), machine())
    assert speed is not None
    (text,) = (text for text in warnings(recipe) if "wears the drive" in text)
    assert f"{1000 * speed.nvme_bytes_per_step / 1e12:,.1f} TB" in text
    assert ("107.8 TB" in text) == (not bf16)


def test_an_offloaded_step_after_few_passes_is_pointed_out() -> None:
    roomy = machine(usable_ram_bytes=400 * GIB)
    keys = {"zero__preset": "z2_offload", "train__micro_batch_size": 8, "train__global_batch_size": 16}
    assert any("optimizer" in text and "7 s" in text for text in warnings(recipe_for(LLAMA_7B, "full", **keys), roomy))
    assert not any(
        "7 s" in text for text in warnings(recipe_for(LLAMA_7B, "full", **keys), laptop(usable_ram_bytes=400 * GIB))
    )


def test_locking_most_of_the_ram_is_pointed_out() -> None:
    keys = {"zero__preset": "z3_offload", "zero__pin_memory": True}
    (text,) = (text for text in warnings(recipe_for(LLAMA_7B, "full", **keys)) if "pin_memory" in text)
    assert text.startswith("zero.pin_memory=true: ")
    assert "more than 60 % of the usable RAM" in text
    assert not any("pin_memory" in text for text in warnings(recipe_for(LLAMA_7B, "full", zero__preset="z3_offload")))


def test_what_is_written_about_locking_is_kept() -> None:
    written = resolved(recipe_for(LLAMA_7B, "full", zero__preset="z3_offload", zero__pin_memory=True))
    decided = resolved(recipe_for(LLAMA_7B, "full", zero__preset="z3_offload"))
    assert (written.trial.job.zero.pin_memory, decided.trial.job.zero.pin_memory) == (True, False)


def decays(recipe: Recipe) -> list[str]:
    return [text for text in warnings(recipe) if "train.weight_decay" in text]


def test_weight_decay_of_norms_is_pointed_out_where_deepspeed_has_the_optimizer() -> None:
    (text,) = decays(recipe_for(LLAMA_7B, "full", zero__preset="z3_offload", train__weight_decay=0.1))
    # Two norms in each of 32 layers and one at the end.
    assert text.startswith("train.weight_decay 0.1 also shrinks the 65 norm and bias tensors that are trained")
    assert "one group for all parameters" in text


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("full", {"zero__preset": "z3_offload", "train__weight_decay": 0.0}),
        ("full", {"zero__preset": "z3", "train__weight_decay": 0.1}),
        ("lora", {"zero__preset": "z3_offload", "train__weight_decay": 0.1}),
    ],
)
def test_weight_decay_that_spares_norms_is_not_pointed_out(kind: str, keys: dict[str, Any]) -> None:
    assert decays(recipe_for(LLAMA_7B, kind, **keys)) == []


def test_weight_decay_with_an_optimizer_of_the_users_own_json(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    config = {"zero_optimization": {"stage": 2}, "optimizer": {"type": "AdamW", "params": {"lr": "auto"}}}
    for section, told in ((config, 1), ({"zero_optimization": {"stage": 2}}, 0)):
        path.write_text(json.dumps(section))
        recipe = recipe_for(SMOLLM, "full", zero__config=str(path), train__weight_decay=0.1)
        assert len(decays(recipe)) == told


def test_little_swapping_is_no_zero() -> None:
    recipe = recipe_for(SMOLLM, zero__preset="z3_offload_nvme", zero__nvme_path="/mnt/nvme")
    (text,) = (text for text in warnings(recipe) if "wears the drive" in text)
    assert re.search(r"every step writes [\d.]+ MiB to it", text)


def test_slots_ram_and_supply_are_told_where_the_job_feels_them() -> None:
    box = machine(ram_bytes=62 * GIB)
    assert box.link is not None
    poor = replace(
        box,
        link=replace(box.link, pcie_lanes=2, card_lanes=(16, 2)),
        power=Power(host_watts=250, load_watts=1000, supply_watts=1000),
    )
    whole = warnings(recipe_for(SMOLLM, "lora"), poor)
    assert [text.partition(":")[0] for text in whole] == [
        "2 x 450 W of cards and 250 W of host are 1,150 W in one moment, the power supply gives 1,000 W"
    ]
    felt = "".join(warnings(recipe_for(SMOLLM, "full", zero__preset="z2_offload"), poor))
    assert "The cards sit on x16 + x2" in felt
    assert "62.0 GiB of RAM are less than twice the 48.0 GiB of the cards" in felt
    assert "x16 + x2" in "".join(warnings(recipe_for(SMOLLM, "full"), poor))


def test_a_drive_too_small_for_model_and_checkpoints_is_a_rejection() -> None:
    box = machine()
    small = tuple(replace(disk, usable_bytes=10 * GB) for disk in box.disks)
    found = resolved(recipe_for(LLAMA_7B, "lora"), replace(box, disks=small))
    assert found.trial.judgement.verdict == "rejected"
    judged = found.trial.judgement.demands
    assert {demand.place for demand in judged if demand.verdict == "rejected"} == {"disk"}
