"""The lists of accepted and removed keys against the DeepSpeed that is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunekit.ds_config.accepted import DEEPSPEED_VERSION, REMOVED, SECTIONS, TOP_LEVEL

pytestmark = pytest.mark.train

Parse = Callable[[dict[str, Any]], tuple[Any, set[str]]]


def test_the_version_is_the_installed_one() -> None:
    deepspeed = pytest.importorskip("deepspeed")
    assert deepspeed.__version__ == DEEPSPEED_VERSION


def test_the_top_level_is_what_deepspeed_asks_for(parse: Parse) -> None:
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "optimizer": {"type": "AdamW", "params": {}},
        "scheduler": {"type": "WarmupLR", "params": {}},
        "zero_optimization": {"stage": 2},
    }
    _, asked = parse(config)
    removed = {key for key in REMOVED if "." not in key}
    # Asked outside DeepSpeedConfig: by deepspeed.initialize for its device mesh.
    elsewhere = {"sequence_parallel_size", "data_parallel_size"}
    assert asked - removed == TOP_LEVEL - elsewhere
    assert removed <= asked


def test_keys_asked_elsewhere_are_in_the_source() -> None:
    deepspeed = pytest.importorskip("deepspeed")
    text = Path(deepspeed.__file__).read_text(encoding="utf-8")
    assert re.search(r'config\["data_parallel_size"\], config\["sequence_parallel_size"\]', text)


def test_sections_are_deepspeeds_models() -> None:
    pytest.importorskip("deepspeed")
    from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config
    from deepspeed.runtime.swap_tensor.aio_config import AIO_DEFAULT_DICT
    from deepspeed.runtime.zenflow.zenflow_config import ZenFlowConfig
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from deepspeed.runtime.zero.leaf_module_config import DeepSpeedZeroLeafModuleConfig
    from deepspeed.runtime.zero.offload_config import (
        DeepSpeedZeroOffloadOptimizerConfig,
        DeepSpeedZeroOffloadParamConfig,
    )

    models = {
        "zero_optimization": DeepSpeedZeroConfig,
        "zero_optimization.offload_optimizer": DeepSpeedZeroOffloadOptimizerConfig,
        "zero_optimization.offload_param": DeepSpeedZeroOffloadParamConfig,
        "zero_optimization.zenflow": ZenFlowConfig,
        "zero_optimization.leaf_module": DeepSpeedZeroLeafModuleConfig,
        "bf16": DeepSpeedBF16Config,
        "bfloat16": DeepSpeedBF16Config,
        "fp16": DeepSpeedFP16Config,
    }
    for name, model in models.items():
        fields = {spelling for key, field in model.model_fields.items() for spelling in (key, field.alias) if spelling}
        old = {key.rpartition(".")[2] for key in REMOVED if key.rpartition(".")[0] == name}
        assert SECTIONS[name] == fields - old
    assert SECTIONS["aio"] == set(AIO_DEFAULT_DICT)


def test_removed_keys_are_removed_or_deprecated() -> None:
    pytest.importorskip("deepspeed")
    from deepspeed.runtime import config as library
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    removed = set(library._REMOVED_TOP_LEVEL_CONFIG_KEYS)
    removed |= {f"zero_optimization.{key}" for key in library._REMOVED_ZERO_CONFIG_KEYS}
    deprecated = {
        f"zero_optimization.{key}"
        for key, field in DeepSpeedZeroConfig.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("deprecated")
    }
    assert removed | deprecated == set(REMOVED)
