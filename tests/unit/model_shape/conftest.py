"""Small shapes, and GGUF files made byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.shape import ModelShape

TINY = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


@pytest.fixture
def tiny() -> Callable[..., ModelShape]:
    """A small model of a family; keyword arguments are further keys of its config.json."""

    def make(family: str = "llama", **more: Any) -> ModelShape:
        return shape_from_config({"model_type": family, **TINY, **more}, name=f"tiny-{family}", source="test")

    return make


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    return struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)


def gguf_bytes(metadata: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]], *, version: int = 3) -> bytes:
    """A whole GGUF file: 32-bit floats, all zero; shapes in the file's order, innermost first."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(_text(key) + _value(value) for key, value in metadata.items())
    offset = 0
    for name, shape in tensors.items():
        head += _text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", 0, offset)
        size = 4
        for side in shape:
            size *= side
        offset += -(-size // 32) * 32
    return head + bytes(-len(head) % 32) + bytes(offset)


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GGUF file with this metadata and these tensors."""

    def write(metadata: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]], **more: Any) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(gguf_bytes(metadata, tensors, **more))
        return path

    return write
