"""Values that cannot stand under their key: all at once, as they were typed, with what to write."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.ds_config.presets import load_preset, preset_names
from tunekit.ds_config.values import shown, value_problems, wrong_value


def found(config: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in value_problems(config)]


@pytest.mark.parametrize("name", preset_names())
def test_presets_have_none(name: str) -> None:
    assert found(load_preset(name)) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"bf16": True}, "bf16: found true; allowed: a section { ... }"),
        ({"zero_optimization": []}, "zero_optimization: found []; allowed: a section { ... }"),
        ({"bf16": {"enabled": 1}}, "bf16.enabled: found 1; allowed: true or false; write true"),
        ({"prescale_gradients": "false"}, 'prescale_gradients: found "false"; allowed: true or false; write false'),
        ({"train_batch_size": "16"}, 'train_batch_size: found "16"; allowed: a whole number, 1 or more; write 16'),
        ({"train_batch_size": 8.0}, "train_batch_size: found 8.0; allowed: a whole number, 1 or more; write 8"),
        ({"train_batch_size": True}, "train_batch_size: found true; allowed: a whole number, 1 or more"),
        ({"gradient_clipping": -1}, "gradient_clipping: found -1; allowed: a number, 0 or more"),
        ({"gradient_clipping": "NaN"}, 'gradient_clipping: found "NaN"; allowed: a number, 0 or more'),
        (
            {"gradient_clipping": 1e13},
            f"gradient_clipping: found {1e13}; allowed: a number, 0 or more; at most {10**12}",
        ),
        (
            {"log_level": "warn"},
            'log_level: found "warn"; allowed: debug, info, warning, error or critical; write "warning"',
        ),
        ({"optimizer": {"params": {"lr": 2}}}, "optimizer.params.lr: found 2; allowed: a number, above 0 to 1"),
        ({"tensorboard": None}, "tensorboard: found null; allowed: a section { ... }"),
        ({"fp16": {"loss_scale": "[" * 50}}, f'fp16.loss_scale: found "{"[" * 50}"; allowed: a number, 0 or more'),
    ],
)
def test_each_says_what_may_stand_there(config: dict[str, Any], said: str) -> None:
    assert found(config) == [said]


def test_all_are_told_in_the_order_of_the_file() -> None:
    zero = {"stage": "2", "overlap_comm": 1, "offload_param": {"buffer_size": "big", "device": 3}}
    config = {"zero_optimization": zero, "dump_state": 0}
    assert [problem.key for problem in value_problems(config)] == [
        "zero_optimization.stage",
        "zero_optimization.overlap_comm",
        "zero_optimization.offload_param.buffer_size",
        "zero_optimization.offload_param.device",
        "dump_state",
    ]


def test_auto_and_what_is_unknown_are_left_to_others() -> None:
    assert found({"dump_state": "auto", "zzz": 3, "optimizer": {"params": {"zzz": "x"}}}) == []


def test_long_and_unprintable_values_are_shown_short_and_escaped() -> None:
    assert len(shown("x" * 500)) == 60
    assert shown("a\0") == r'"a\u0000"'
    assert shown("Wörter") == '"Wörter"'
    assert wrong_value("log_level", "zzz").hint == ""
