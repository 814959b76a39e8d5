from __future__ import annotations

from typing import Any

import pytest

from tunekit.errors import UsageError
from tunekit.model_shape.config_json import shape_from_config


def shape(**config: Any) -> Any:
    return shape_from_config(config, name="m", source="m/config.json")


def test_what_is_read_stands_in_the_shape() -> None:
    read = shape(model_type="llama", num_key_value_heads=8, hidden_size=8192, num_attention_heads=64)
    assert (read.name, read.source, read.family) == ("m", "m/config.json", "llama")
    assert (read.num_layers, read.hidden_size, read.num_heads, read.num_kv_heads, read.head_dim) == (
        32,
        8192,
        64,
        8,
        128,
    )
    assert (read.ffn_size, read.vocab_size, read.max_positions) == (11008, 32000, 2048)
    assert not read.tied_embeddings
    assert read.gated_mlp


def test_an_unknown_family_names_the_known_and_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        shape(model_type="qwen4")
    message = str(caught.value)
    assert message.startswith("m/config.json: model_type qwen4 is not a family tunekit knows. Known: falcon, gemma,")
    assert "The nearest is qwen" in message
    assert "Set model.path" in message


def test_a_missing_family() -> None:
    with pytest.raises(UsageError, match="model_type is missing; one of falcon"):
        shape(hidden_size=3)


def test_models_with_more_than_text_are_refused() -> None:
    with pytest.raises(UsageError, match="gemma3 is a model with more than text parts"):
        shape(model_type="gemma3", text_config={"model_type": "gemma3_text"})


def test_weights_that_are_quantised_already_are_refused() -> None:
    with pytest.raises(UsageError, match=r"already quantised \(gptq\); .* method\.kind=qlora"):
        shape(model_type="llama", quantization_config={"quant_method": "gptq"})


def test_key_heads_that_do_not_divide_the_heads() -> None:
    with pytest.raises(UsageError, match="num_attention_heads 32 is not a multiple of num_key_value_heads 5"):
        shape(model_type="llama", num_key_value_heads=5)
