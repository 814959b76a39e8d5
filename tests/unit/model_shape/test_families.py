from __future__ import annotations

from tunekit.model_shape.families import FAMILIES

PROMISED = "llama mistral mixtral qwen2 qwen3 gemma gemma2 phi3 gpt_neox falcon olmo stablelm"


def test_every_promised_family_is_in_the_table() -> None:
    assert set(PROMISED.split()) <= set(FAMILIES)
    assert all(callable(read) for read in FAMILIES.values())
