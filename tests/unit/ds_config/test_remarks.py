from __future__ import annotations

from typing import Any

import pytest
from planning import machine
from plans import make_job

from tunekit.ds_config.remarks import REMARKS, config_remarks

SUPER = {"stage": 3, "offload_optimizer": {"device": "cpu", "super_offload": True}}
ADAM = {"type": "Adam", "params": {"lr": 1e-5}}
RISKY: list[tuple[dict[str, Any], str]] = [
    ({"zero_optimization": {"stage": 3, "zero_hpz_partition_size": 2}}, "keeps a second copy"),
    ({"zero_optimization": {"stage": 3, "zero_quantized_gradients": True}}, "rounds gradients"),
    ({"zero_optimization": SUPER, "gradient_clipping": 1.0}, "without clipping"),
    ({"optimizer": ADAM}, "Adam is AdamW"),
]


def remarks(config: dict[str, Any]) -> tuple[str, ...]:
    return config_remarks(config, make_job(machine(), zero={"stage": 3}), machine())


@pytest.mark.parametrize(("config", "words"), RISKY)
def test_each_remark_says_why(config: dict[str, Any], words: str) -> None:
    (text,) = remarks(config)
    assert words in text


def test_every_remark_is_seen_above() -> None:
    job = make_job(machine(), zero={"stage": 3})
    assert {remark for remark in REMARKS for config, _ in RISKY if list(remark(config, job, machine()))} == set(REMARKS)


@pytest.mark.parametrize(
    "config",
    [
        {"zero_optimization": {"stage": 3, "zero_hpz_partition_size": 1}},
        {"zero_optimization": SUPER, "gradient_clipping": 0},
        {"optimizer": {"type": "Adam", "params": {"adam_w_mode": False}}},
        {"optimizer": {"type": "AdamW", "params": {}}},
    ],
)
def test_what_is_meant_so_is_left_alone(config: dict[str, Any]) -> None:
    assert remarks(config) == ()
