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


def hostile(folder: Path, weight_map: object) -> str | None:
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return fault_of(folder)


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "", "a\\b", 7, ["x"]]
)
def test_an_index_that_names_files_outside_is_not_trusted(tmp_path: Path, name: object) -> None:
    assert "names weight files outside its folder" in (hostile(tmp_path, {"w": name}) or "")


def test_an_index_nested_without_end_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text("[" * 100_000)
    assert "names no weight files" in (fault_of(tmp_path) or "")


@pytest.mark.parametrize(
    "content",
    [
        (2**62).to_bytes(8, "little") + bytes(100),
        (2).to_bytes(8, "little") + b"[]",
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        (50).to_bytes(8, "little") + b'{"a": {"data_offsets": [0, "x"]}}'.ljust(50),
        (50).to_bytes(8, "little") + b'{"a": {"data_offsets": []}}'.ljust(50),
    ],
)
def test_a_header_of_hostile_content_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    assert "its header cannot be read" in (fault_of(tmp_path) or "")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 40 + "1" + "}" * 40, "1" * 5000])
def test_a_config_nested_without_end_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be read as JSON"):
        read_config(tmp_path)


def test_a_config_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(UsageError, match="17,179,869,184 bytes, and 16,777,216 are read at most"):
        read_config(tmp_path)
