"""ds_configs/README.md says what the files and the builder do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.ds_config.test_presets_against_deepspeed import SHAPE, planned
from tests.plans import make_recipe
from tunekit.ds_config.build import build_ds_config
from tunekit.ds_config.check import dotted_items
from tunekit.ds_config.presets import load_preset, preset_facts, preset_names

PLACES = {"none": "GPU", "cpu": "RAM", "nvme": "NVMe"}


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "ds_configs" / "README.md").read_text(encoding="utf-8")


def test_one_row_per_preset_with_its_facts(readme: str) -> None:
    rows = {cells[0].strip("`"): cells[1:] for cells in _rows(readme)}
    assert sorted(rows) == list(preset_names())
    for name, cells in rows.items():
        facts = preset_facts(load_preset(name))
        assert cells[:5] == [
            str(facts.stage),
            PLACES[facts.offload_optimizer],
            PLACES[facts.offload_param],
            "bf16" if facts.bf16_states else "fp32",
            facts.min_deepspeed,
        ]
        assert all(len(text) > 10 for text in cells[5:])


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]


def test_the_keys_that_are_overwritten(readme: str) -> None:
    section = readme.partition("## What tunekit overwrites")[2].partition("Everything else")[0]
    listed = re.findall(r"`([\w.]+)`", section)
    # Not in the files, always in what is run.
    added = {"train_batch_size", "fp16.enabled"}
    assert sorted({key for name in preset_names() for key in _overwritten(name)} | added) == sorted(listed)


def _overwritten(name: str) -> Iterator[str]:
    """Keys of a preset whose change does not reach the configuration that is run."""
    assert SHAPE is not None
    for key, value in dotted_items(load_preset(name)):
        base = load_preset(name)
        _section_of(base, key)[key.rpartition(".")[2]] = changed = _other(value)
        config = build_ds_config(make_recipe(), planned(name, "full", "cuda"), SHAPE, base=base)
        if dict(dotted_items(config)).get(key) != changed:
            yield key


def _section_of(config: dict[str, Any], key: str) -> dict[str, Any]:
    for part in key.split(".")[:-1]:
        config = config[part]
    return config


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return f"{value}x"
    return [0.5, 0.6] if isinstance(value, list) else value + 1
