from __future__ import annotations

from typing import Any

import pytest
from planning import CODELLAMA_34B, LLAMA_7B, LLAMA_8B, SMOLLM, laptop, machine, recipe_for, resolved

from tunekit.hardware.spec import Hardware
from tunekit.planner.candidates import families
from tunekit.recipe.schema import Recipe


def typed(recipe: Recipe, hardware: Hardware | None = None) -> list[str]:
    return [change.typed for family in families(resolved(recipe, hardware)) for change in family]


def test_only_what_changes_the_result_is_harm() -> None:
    found = [change for family in families(resolved(recipe_for(LLAMA_7B, "full"))) for change in family]
    harm = {change.typed: change.harm for change in found}
    assert harm["train.max_seq_length=1024"] > 0
    assert harm["zero.preset=z2_offload_bf16"] > harm["zero.preset=z2_offload"] == 0
    assert harm["method.kind=qlora zero.preset=z2"] > harm["method.kind=lora zero.preset=z2"] > 0


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"train__precision": "fp32"}, "train.precision=bf16"),
        ({"model__attention": "eager"}, "model.attention=sdpa"),
        ({"train__loss": "full"}, "train.loss=chunked"),
        ({"data__num_workers": 4}, "data.num_workers=0"),
        ({"output__save_steps": 10}, "output.keep_checkpoints=1"),
        ({"output__save_steps": 10}, "output.save_steps=null"),
        ({"train__micro_batch_size": 4}, "train.micro_batch_size=2"),
        ({"train__micro_batch_size": 4}, "train.micro_batch_size=1"),
        ({"train__micro_batch_size": 3}, "train.micro_batch_size=1"),
        ({"train__activation_checkpointing": False}, "train.activation_checkpointing=true"),
        ({"method__rank": 64}, "method.rank=32"),
        ({"method__rank": 64, "method__alpha": 128}, "method.rank=16 method.alpha=32"),
        ({"train__max_seq_length": 1024}, "train.max_seq_length=512"),
        ({"zero__preset": "z2"}, "zero.preset=z3"),
        ({}, "train.optimizer=adamw_8bit"),
        ({"zero__preset": "z2"}, "method.kind=qlora zero.preset=z2"),
    ],
)
def test_what_a_recipe_can_give_up_is_offered(keys: dict[str, Any], expected: str) -> None:
    assert expected in typed(recipe_for(SMOLLM, "lora", **keys))


def test_what_is_small_already_is_not_offered() -> None:
    words = " ".join(
        typed(
            recipe_for(
                SMOLLM,
                "qlora",
                method__rank=8,
                train__max_seq_length=256,
                train__micro_batch_size=1,
                train__activation_checkpointing=True,
                train__loss="chunked",
                train__optimizer="adamw_8bit",
            )
        )
    )
    for key in ("rank", "max_seq_length", "micro_batch", "checkpointing", "loss", "optimizer", "double_quant"):
        assert key not in words


def test_double_quantisation_is_offered_to_qlora_without_it() -> None:
    assert "method.double_quant=true" in typed(recipe_for(SMOLLM, "qlora", method__double_quant=False))


def test_an_8_bit_base_is_offered_4_bits_and_no_sharing() -> None:
    found = typed(recipe_for(LLAMA_7B, "qlora", method__quantization="int8"))
    assert "method.quantization=nf4" in found
    assert "method.double_quant=true" not in found
    assert "zero.preset=z3_qlora" not in found


def test_a_smaller_micro_batch_keeps_the_written_batch() -> None:
    keys = {"train__micro_batch_size": 4, "train__gradient_accumulation_steps": 2}
    assert "train.micro_batch_size=1 train.gradient_accumulation_steps=8" in typed(recipe_for(SMOLLM, **keys))


def test_full_fine_tuning_is_offered_adapters_with_a_rate_that_suits() -> None:
    found = typed(recipe_for(LLAMA_7B, "full", zero__preset="z3_offload", train__learning_rate=1e-5))
    assert "method.kind=lora zero.preset=z2 train.learning_rate=auto" in found
    assert "method.kind=qlora zero.preset=z3_qlora train.learning_rate=auto" in found


def test_qlora_is_offered_a_sharded_16_bit_base_only() -> None:
    found = typed(recipe_for(CODELLAMA_34B, "qlora"))
    assert "method.kind=lora zero.preset=z3" in found
    assert "method.kind=lora zero.preset=z2" not in found


def test_nvme_asks_for_a_folder() -> None:
    changes = [change for family in families(resolved(recipe_for(LLAMA_7B, "full"))) for change in family]
    nvme, lora = (change for change in changes if "z3_offload_nvme" in change.typed)
    assert lora.typed.startswith("method.kind=lora zero.preset=z3_offload_nvme zero.nvme_path=")
    assert nvme.typed.endswith("zero.nvme_path=/path/on/your/nvme")
    assert nvme.note.endswith("write a folder of your own for /path/on/your/nvme")
    owned = recipe_for(LLAMA_7B, "full", zero__preset="z2_offload_bf16", zero__nvme_path="/fast")
    assert "zero.preset=z3_offload_nvme" in typed(owned)


def test_page_locking_is_offered_where_it_is_on() -> None:
    keys = {"zero__preset": "z2_offload", "zero__pin_memory": True}
    assert "zero.pin_memory=false" in typed(recipe_for(SMOLLM, "full", **keys))
    assert "zero.pin_memory=false" not in typed(recipe_for(SMOLLM, "full", zero__preset="z2"))


def test_offloaded_optimizers_stay_those_the_cpu_has() -> None:
    assert "train.optimizer=adamw_8bit" not in typed(recipe_for(SMOLLM, "full", zero__preset="z2_offload"))


def test_the_cost_of_gathering_depends_on_the_machine() -> None:
    def note(hardware: Hardware) -> str:
        changes = [change for family in families(resolved(recipe_for(LLAMA_8B, "lora"), hardware)) for change in family]
        (found,) = (change.note for change in changes if change.typed == "zero.preset=z3")
        return found

    assert "PCIe" in note(machine())
    assert "PCIe" not in note(machine("8x_h100_80gb"))
    assert "PCIe" not in note(laptop())


def test_what_was_measured_on_cards_is_not_claimed_for_a_cpu() -> None:
    for kind, more in (("qlora", {"method__double_quant": False}), ("lora", {}), ("full", {})):
        on_cpu, on_cards = (
            " ".join(
                change.note
                for family in families(resolved(recipe_for(SMOLLM, kind, **more), hardware))
                for change in family
            )
            for hardware in (laptop(), machine())
        )
        for word in ("RTX 4090", "bitsandbytes", "PCIe", "card"):
            assert word not in on_cpu
        assert ("bitsandbytes" in on_cards) == (kind == "qlora")
