from __future__ import annotations

from collections.abc import Callable

import pytest

from tunekit.model_shape.expert_targets import expert_adapters, expert_target, missing_half
from tunekit.model_shape.shape import ModelShape

Tiny = Callable[..., ModelShape]


def test_old_names_mean_fused_parameters_in_mixtures_only() -> None:
    assert expert_target("mixtral", "w1") == expert_target("mixtral", "w3") == "mlp.experts.gate_up_proj"
    assert expert_target("qwen3_moe", "experts.down_proj") == "mlp.experts.down_proj"
    assert expert_target("llama", "gate_proj") is None
    assert expert_target("mixtral", "q_proj") is None


@pytest.mark.parametrize(
    ("names", "missing"),
    [(("w1",), "w3"), (("w3", "w2"), "w1"), (("w1", "w3"), None), (("w2", "gate"), None), ((), None)],
)
def test_fused_halves_come_together(names: tuple[str, ...], missing: str | None) -> None:
    assert missing_half("mixtral", names) == missing


def test_gate_and_up_share_twice_the_rank(tiny: Tiny) -> None:
    shape = tiny("mixtral", num_local_experts=4)
    pairs = {
        tensor.name.removeprefix("base_model.model.model.layers.{layer}.mlp."): tensor.shape
        for tensor in expert_adapters(shape, ("w1", "w2", "w3"), rank=2)
    }
    assert pairs == {
        "experts.base_layer.lora_A.default.weight": (4 * 2 * 2, 64),
        "experts.base_layer.lora_B.default.weight": (2 * 96, 4 * 2 * 2),
        "experts.lora_A.default.weight": (4 * 2, 96),
        "experts.lora_B.default.weight": (64, 4 * 2),
    }


def test_alone_a_pair_is_not_nested(tiny: Tiny) -> None:
    names = [tensor.name for tensor in expert_adapters(tiny("mixtral"), ("w1", "w3"), rank=2)]
    assert not any("base_layer" in name for name in names)


def test_dense_models_have_none(tiny: Tiny) -> None:
    assert list(expert_adapters(tiny(), ("gate_proj",), rank=2)) == []
