"""Laws of shapes: what must hold for every size, without knowing any number."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunekit.errors import UsageError
from tunekit.model_shape.adapters import adapter_tensors, num_trainable, resolve_target_modules
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.families import FAMILIES
from tunekit.model_shape.gguf_header import read_gguf_header
from tunekit.model_shape.quantized import quantized_tensors
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Adapter

families = st.sampled_from(sorted(FAMILIES))


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A config.json of any family, with sizes that transformers accepts."""
    kv_heads = draw(st.integers(1, 4))
    heads = kv_heads * draw(st.integers(1, 4))
    return {
        "model_type": draw(families),
        "vocab_size": draw(st.integers(1, 2000)),
        "hidden_size": heads * draw(st.integers(1, 16)),
        "intermediate_size": draw(st.integers(1, 300)),
        "num_hidden_layers": draw(st.integers(1, 6)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "tie_word_embeddings": draw(st.booleans()),
        "num_local_experts": 4,
        "num_experts": 4,
        "moe_intermediate_size": 24,
    }


def shape_of(config: dict[str, Any]) -> ModelShape:
    return shape_from_config(config, name="m", source="s")


@given(configs())
def test_every_name_stands_for_one_parameter(config: dict[str, Any]) -> None:
    names = [name for tensor in shape_of(config).tensors for name in tensor.names]
    assert len(names) == len(set(names))


@given(configs())
def test_a_further_layer_adds_one_layer(config: dict[str, Any]) -> None:
    shape = shape_of(config)
    deeper = shape_of({**config, "num_hidden_layers": config["num_hidden_layers"] + 1})
    last = config["num_hidden_layers"]
    inside = (tensor for tensor in deeper.tensors if tensor.in_layers)
    added = sum(each.numel for each in inside if each.first_layer <= last < each.first_layer + each.count)
    assert deeper.num_parameters - shape.num_parameters == added


@given(configs())
def test_tying_saves_exactly_one_embedding(config: dict[str, Any]) -> None:
    tied, untied = (shape_of({**config, "tie_word_embeddings": flag}) for flag in (True, False))
    assert untied.num_parameters - tied.num_parameters == tied.count("embedding")


@given(configs(), st.integers(1, 64))
def test_lora_grows_in_proportion_to_its_rank(config: dict[str, Any], rank: int) -> None:
    shape = shape_of(config)
    names = resolve_target_modules(shape, "all-linear")

    def trainable(of_rank: int) -> int:
        return num_trainable(shape, "lora", Adapter(rank=of_rank, alpha=1, dropout=0.0, target_modules=names))

    assert trainable(rank) == rank * trainable(1)


@given(configs(), st.integers(1, 64))
def test_lora_without_experts_is_rank_times_in_plus_out(config: dict[str, Any], rank: int) -> None:
    shape = shape_of(config)
    linears = [tensor for tensor in shape.tensors if tensor.role == "linear"]
    names = tuple(dict.fromkeys(tensor.name.split(".")[-2] for tensor in linears))
    if shape.num_experts:
        names = ("q_proj", "k_proj", "v_proj", "o_proj")
    wanted = [tensor for tensor in linears if tensor.name.split(".")[-2] in names]
    adapter = Adapter(rank=rank, alpha=1, dropout=0.0, target_modules=names)
    total = sum(tensor.total for tensor in adapter_tensors(shape, adapter))
    assert total == sum(rank * sum(tensor.shape) * tensor.count for tensor in wanted)


@given(configs())
def test_what_is_quantised_is_part_of_the_linears(config: dict[str, Any]) -> None:
    shape = shape_of(config)
    linears = {name for tensor in shape.tensors if tensor.role == "linear" for name in tensor.names}
    assert {name for tensor in quantized_tensors(shape) for name in tensor.names} <= linears


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for a file that every example overwrites."""
    return tmp_path_factory.mktemp("gguf") / "m.gguf"


def whole_gguf() -> bytes:
    key = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 2) + 2 * (struct.pack("<Q", 3) + b"abc")
    tensor = struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", 1, 8, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + key + tensor
    return head + bytes(-len(head) % 32) + bytes(32)


@settings(deadline=None)
@given(st.integers(0, len(whole_gguf()) - 1), st.binary(min_size=0, max_size=12), st.integers(0, 40))
def test_a_damaged_gguf_is_read_or_refused_but_never_a_traceback(
    gguf_file: Path, place: int, noise: bytes, cut: int
) -> None:
    whole = whole_gguf()
    damaged = whole[:place] + noise + whole[place + len(noise) :]
    gguf_file.write_bytes(damaged[: len(damaged) - cut])
    with contextlib.suppress(UsageError):
        read_gguf_header(gguf_file)


@given(
    st.dictionaries(st.sampled_from(["hidden_size", "num_attention_heads", "head_dim", "bias"]), st.none() | st.text())
)
def test_nonsense_in_a_config_is_a_usage_error(values: dict[str, Any]) -> None:
    wrong = any(value is not None for key, value in values.items() if key != "bias")
    config = {"model_type": "llama", **values}
    if wrong:
        with pytest.raises(UsageError, match="belongs there"):
            shape_of(config)
    else:
        assert shape_of(config).num_parameters > 0
