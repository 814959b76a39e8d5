from __future__ import annotations

import pytest

from tunekit.worker.tracing.timeline import Event, extended, modules_at_peak, phase_peaks, without_numbers

EVENTS = [
    Event(1, 10, "model.layers.0.mlp", "forward"),
    Event(2, 30, "model.layers.1.mlp", "forward"),
    Event(3, 5, "head and loss", "loss"),
    Event(3, -5, "", "loss"),
    Event(4, 100, "model.layers.1.mlp", "backward"),
    Event(5, 7, "model.layers.1.self_attn", "backward"),
    Event(2, -30, "", "backward"),
    Event(4, -100, "", "backward"),
    Event(6, 500, "head and loss", "eval"),
]


def test_every_part_has_its_peak() -> None:
    found = {each.name: (each.activation_bytes, each.with_gradients_bytes) for each in phase_peaks(EVENTS, {4})}
    assert found == {"forward": (40, 40), "loss": (45, 45), "backward": (47, 147), "eval": (517, 517)}


def test_modules_of_all_layers_stand_together_without_gradients() -> None:
    found = [(each.name, each.count, each.bytes) for each in modules_at_peak(EVENTS, {4})]
    assert found == [("layers.*.mlp", 2, 40), ("layers.*.self_attn", 1, 7)]


def test_an_evaluation_is_not_the_peak_of_the_step() -> None:
    assert all(each.bytes < 500 for each in modules_at_peak(EVENTS, ()))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("base_model.model.model.layers.17.mlp.down_proj.lora_A.default", "layers.*.mlp.down_proj.lora_A"),
        ("model.layers.3.mlp.down_proj.base_layer", "layers.*.mlp.down_proj"),
        ("gpt_neox.layers.0", "gpt_neox.layers.*"),
        ("head and loss", "head and loss"),
    ],
)
def test_names_without_numbers(name: str, plain: str) -> None:
    assert without_numbers(name) == plain


def test_the_line_through_two_depths() -> None:
    assert extended(100, 130, (2, 3), 10) == 130 + 7 * 30
    assert extended(50, 50, (4, 6), 60) == 50
