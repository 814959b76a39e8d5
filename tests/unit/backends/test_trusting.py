from __future__ import annotations

from pathlib import Path

import pytest
from plans import make_recipe

from tunekit.backends.trusting import texts_of, trust_faults
from tunekit.hub import is_pickled

PLANTED = {"HF_TOKEN": "planted-in-the-environment"}


def model(folder: Path, weights: str) -> str:
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / weights).write_bytes((2).to_bytes(8, "little") + b"{}")
    return str(folder)


def test_pickled_weights_are_read_only_when_told_so(tmp_path: Path) -> None:
    path = model(tmp_path, "pytorch_model.bin")
    assert is_pickled(tmp_path)
    (fault,) = trust_faults(make_recipe(model={"path": path}), {})
    assert fault.kind == "usage"
    assert "has no safetensors, and pickle files run code while they are read" in fault.text
    assert fault.cure == "set model.allow_pickle=true to read them"
    assert list(trust_faults(make_recipe(model={"path": path, "allow_pickle": True}), {})) == []


def test_safetensors_need_no_trust(tmp_path: Path) -> None:
    path = model(tmp_path, "model.safetensors")
    assert not is_pickled(tmp_path)
    assert list(trust_faults(make_recipe(model={"path": path}), {})) == []


@pytest.mark.parametrize(
    ("section", "keys", "key"),
    [
        ("output", {"sample_prompts": ["a", "say planted-in-the-environment"]}, "output.sample_prompts[1]"),
        ("output", {"dir": "runs/planted-in-the-environment"}, "output.dir"),
        ("data", {"columns": {"planted-in-the-environment": "x"}}, "data.columns"),
    ],
)
def test_a_secret_of_the_environment_is_not_kept_with_a_run(section: str, keys: dict[str, object], key: str) -> None:
    recipe = make_recipe(**{section: keys})
    (fault,) = trust_faults(recipe, PLANTED)
    assert fault.text.startswith(f"{key} holds a secret")
    assert "planted" not in fault.text
    assert list(trust_faults(recipe, {})) == []


def test_texts_are_found_wherever_they_are() -> None:
    assert list(texts_of({"a": "x", "b": [1, "y"], "c": {"d": "z"}})) == [
        ("", "a"),
        ("a", "x"),
        ("", "b"),
        ("b[1]", "y"),
        ("", "c"),
        ("c", "d"),
        ("c.d", "z"),
    ]
