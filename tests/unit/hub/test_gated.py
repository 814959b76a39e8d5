from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.hub import gated, gated_hint
from tunekit.model_shape import catalogue

LLAMA = "meta-llama/Llama-3.1-8B"


@pytest.fixture(autouse=True)
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has no token and no models."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_gated_model_says_where_to_ask_and_what_to_type() -> None:
    assert gated_hint(LLAMA) == (
        "meta-llama/Llama-3.1-8B is gated: its owner grants access. Ask for it at "
        "https://huggingface.co/meta-llama/Llama-3.1-8B, then type `hf auth login` (or set HF_TOKEN) before the launch."
    )
    assert gated_hint("google/gemma-2-9b-it")


def test_open_models_and_folders_say_nothing() -> None:
    assert gated_hint("Qwen/Qwen2.5-7B") == ""
    assert gated_hint("google/flan-t5-base") == ""
    assert gated_hint(f"./{LLAMA}") == ""


def test_with_a_token_or_the_model_there_is_nothing_to_do(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as typed:
        typed.setenv("HF_TOKEN", "hf_x")
        assert gated_hint(LLAMA) == ""
    (stranger / LLAMA).mkdir(parents=True)
    assert gated_hint(LLAMA) == ""
    (stranger / "home").mkdir()
    (stranger / "home" / "token").write_text("hf_x")
    assert gated_hint("meta-llama/Llama-2-7b-hf") == ""


def test_every_beginning_is_that_of_a_model_in_the_catalogue_or_of_its_kin() -> None:
    names = [name.lower() for name in catalogue.names()]
    assert all(any(name.startswith(start.partition("-")[0]) for name in names) for start in gated.GATED[:2])
