from __future__ import annotations

import json

import pytest

from tests.runs import write_safetensors
from tunekit import hub
from tunekit.errors import MissingError
from tunekit.probes.model_files import read_model_files
from tunekit.recipe.schema import ModelSection


def model(path):
    return ModelSection(path=str(path))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tokenizer.json").write_text("{}")
    write_safetensors(tmp_path / "model.safetensors")
    return tmp_path


def test_a_whole_folder(folder):
    found = read_model_files(model(folder), ask_hub=False)
    assert (found.folder, found.pickle, found.fault) == (str(folder), False, "")
    assert found.weight_bytes == (folder / "model.safetensors").stat().st_size


def test_weights_that_are_pickles(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"1234")
    found = read_model_files(model(folder), ask_hub=False)
    assert (found.pickle, found.weight_bytes) == (True, 4)


def test_a_folder_that_is_not_whole(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    found = read_model_files(model(folder), ask_hub=False)
    assert found.folder == ""
    assert "cut off" in found.fault


def test_a_gguf_that_is_still_to_be_converted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert read_model_files(model(tmp_path / "a.gguf"), ask_hub=False).gguf == "a.gguf"


def test_the_hub_is_asked_only_where_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    def gated(path, revision):
        raise MissingError(f"{path} is gated")

    monkeypatch.setattr(hub, "check_access", gated)
    assert read_model_files(model("some/model"), ask_hub=False).fault == ""
    assert read_model_files(model("some/model"), ask_hub=True).fault == "some/model is gated"
