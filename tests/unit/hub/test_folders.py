from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tunekit.errors import UsageError
from tunekit.hub.folders import fault_of, read_config

Write = Callable[..., Path]


def test_a_whole_model_has_no_fault(model_folder: Write) -> None:
    assert fault_of(model_folder()) is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"config.json": None}, "has no config.json; found: README.md"),
        ({"model.safetensors": None, "pytorch_model.bin": None}, "has no weights"),
        ({"tokenizer.json": None, "tokenizer_config.json": None}, "has no tokenizer"),
        ({"model.safetensors": b"\x10"}, "is damaged: its header cannot be read"),
        ({"model.safetensors": b""}, "is damaged"),
        ({"model.safetensors.index.json": b"{"}, "model.safetensors.index.json is damaged"),
        ({"model.safetensors.index.json": b'{"weight_map": {"w": "model-9.safetensors"}}'}, "lacks 1 of 1 weight"),
    ],
)
def test_each_fault_is_named(model_folder: Write, changes: dict[str, bytes | None], fault: str) -> None:
    assert fault in (fault_of(model_folder(changes)) or "")


def test_a_shard_that_is_cut_off_is_noticed(model_folder: Write, model_bytes: dict[str, bytes]) -> None:
    folder = model_folder({"model.safetensors": model_bytes["model.safetensors"][:-1]})
    assert "model.safetensors is cut off: it has " in (fault_of(folder) or "")


def test_a_pickle_is_weights_too(model_folder: Write) -> None:
    assert fault_of(model_folder({"model.safetensors": None, "pytorch_model.bin": b"x"})) is None


def test_an_adapter_names_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "acme/base"}))
    with pytest.raises(UsageError, match=r"holds an adapter: set model\.path to its base model, acme/base\."):
        read_config(tmp_path)


def test_a_damaged_adapter_is_still_an_adapter(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(UsageError, match="holds an adapter"):
        read_config(tmp_path)


def test_a_gguf_in_the_folder_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    with pytest.raises(UsageError, match=r"Set model\.path=.*/m\.gguf to use the GGUF file"):
        read_config(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found: nothing"):
        read_config(tmp_path)


@pytest.mark.parametrize(("text", "expected"), [("{", "cannot be read as JSON"), ("[]", "holds no mapping")])
def test_a_config_that_is_no_config(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=expected):
        read_config(tmp_path)
