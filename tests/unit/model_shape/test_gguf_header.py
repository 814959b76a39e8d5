from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tunekit.errors import UsageError
from tunekit.model_shape.gguf_header import GgufTensor, read_gguf_header

Write = Callable[..., Path]
METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 3,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.tokens": ["a", "bc", "ü"],
    "tokenizer.ggml.token_type": [1, 2, 3],
}
TENSORS = {"token_embd.weight": (8, 5), "output_norm.weight": (8,)}


@pytest.mark.parametrize("version", [2, 3])
def test_metadata_and_tensors_are_read(write_gguf: Write, version: int) -> None:
    header = read_gguf_header(write_gguf(METADATA, TENSORS, version=version))
    assert header.metadata == {**METADATA, "tokenizer.ggml.tokens": 3, "tokenizer.ggml.token_type": 3}
    assert [(tensor.name, tensor.shape, tensor.numel) for tensor in header.tensors] == [
        ("token_embd.weight", (8, 5), 40),
        ("output_norm.weight", (8,), 8),
    ]


@pytest.mark.parametrize(
    ("kind", "num_bytes"), [(0, 1024), (1, 512), (2, 144), (3, 160), (8, 272), (12, 144), (14, 210), (30, 512), (99, 0)]
)
def test_bytes_follow_from_the_block_size(kind: int, num_bytes: int) -> None:
    assert GgufTensor(name="t", shape=(32, 8), kind=kind, offset=0).num_bytes == num_bytes


def test_another_file_is_not_taken_for_gguf(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UsageError, match=r"m\.gguf is not a GGUF file: it does not begin with the letters GGUF"):
        read_gguf_header(tmp_path / "m.gguf")


@pytest.mark.parametrize("version", [1, 4])
def test_other_versions_are_named(write_gguf: Write, version: int) -> None:
    with pytest.raises(UsageError, match=f"is GGUF version {version}; versions 2 and 3 are read"):
        read_gguf_header(write_gguf(METADATA, TENSORS, version=version))


def test_every_cut_is_one_clear_error(write_gguf: Write) -> None:
    path = write_gguf(METADATA, TENSORS)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError, match="is not a whole GGUF file|is cut off|is not a GGUF file"):
            read_gguf_header(path)


def test_a_cut_in_the_weights_says_how_much_is_missing(write_gguf: Write) -> None:
    path = write_gguf(METADATA, TENSORS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(
        UsageError, match=rf"is cut off: it has .* \({len(whole) - 40} bytes\) and needs .*Fetch it again"
    ):
        read_gguf_header(path)


def test_a_length_that_cannot_be(write_gguf: Write) -> None:
    path = write_gguf({}, {})
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + bytes(64))
    with pytest.raises(UsageError, match="damaged or cut off"):
        read_gguf_header(path)


def test_an_alignment_of_nothing(write_gguf: Write) -> None:
    with pytest.raises(UsageError, match="damaged or cut off"):
        read_gguf_header(write_gguf({"general.alignment": 0}, TENSORS))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_gguf_header(tmp_path / "none.gguf")


def test_nested_arrays_are_passed_over(write_gguf: Write) -> None:
    path = write_gguf({"a": 1}, TENSORS)
    nested = struct.pack("<Q", 1) + b"n" + struct.pack("<IIQ", 9, 9, 2) + 2 * struct.pack("<IQII", 4, 2, 7, 8)
    whole = path.read_bytes()
    body = whole[24:]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2, 2) + nested + body + bytes(64))
    assert read_gguf_header(path).metadata == {"n": 2, "a": 1}


def test_made_up_counts_in_a_large_file_end_at_once(tmp_path: Path) -> None:
    """A sparse file of zeros: empty names and numbers for ever, unless somebody counts."""
    path = tmp_path / "m.gguf"
    texts = struct.pack("<Q", 1) + b"n" + struct.pack("<IIQ", 9, 8, 2**60)
    long = struct.pack("<Q", 1) + b"n" + struct.pack("<IQ", 8, 2**33)
    nested = struct.pack("<Q", 1) + b"n" + struct.pack("<IIQ", 9, 9, 2**60)
    sides = struct.pack("<QI", 0, 2**32 - 1)
    for keys, tensors, start in (
        (2**60, 0, b""),
        (0, 2**60, b""),
        (1, 0, texts),
        (1, 0, long),
        (1, 0, nested),
        (0, 1, sides),
    ):
        with path.open("wb") as file:
            file.write(b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + start)
            file.truncate(2**34)
        started = time.monotonic()
        with pytest.raises(UsageError, match="damaged or cut off"):
            read_gguf_header(path)
        assert time.monotonic() - started < 2
