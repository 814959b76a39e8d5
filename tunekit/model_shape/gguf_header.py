"""The header of a GGUF file (versions 2 and 3), read with the standard library.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Numbers are little-endian. Only the length of an
array is kept: vocabularies are long and nobody here needs their words.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunekit.errors import UsageError
from tunekit.units import format_bytes

_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9

_BLOCKS: Mapping[int, tuple[int, int]] = MappingProxyType(
    {
        0: (1, 4),
        1: (1, 2),
        2: (32, 18),
        3: (32, 20),
        6: (32, 22),
        7: (32, 24),
        8: (32, 34),
        10: (256, 84),
        11: (256, 110),
        12: (256, 144),
        13: (256, 176),
        14: (256, 210),
        30: (1, 2),
    }
)
"""ggml type to (elements, bytes) of a block: F32 F16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K BF16."""


MOST_KEYS = 10_000
MOST_TENSORS = 1_000_000
MOST_SIDES = 8
MOST_TEXTS = 4_000_000
"""Texts in all arrays together; the largest vocabulary with its merges has one million."""
LONGEST_TEXT = 16 * 2**20
"""Far above any honest file: a header of made-up counts is refused, not counted through for hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor in the file; `shape` in the file's order, the innermost side first."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def numel(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes in the file; 0 for a type this table does not know."""
        elements, size = _BLOCKS.get(self.kind, (1, 0))
        return -(-self.numel // elements) * size


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """Metadata (an array stands as its length) and the list of tensors."""

    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]


def read_gguf_header(path: Path) -> GgufHeader:
    """The header of `path`. Raises UsageError where it is no GGUF file, damaged, or cut off."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, path).header()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (struct.error, ArithmeticError, ValueError, KeyError, TypeError, RecursionError) as error:
        size = format_bytes(path.stat().st_size)
        raise UsageError(f"{path} is not a whole GGUF file ({size}): its header is damaged or cut off.") from error


class _Reader:
    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.path, self.position = data, path, 0
        self.texts = 0

    def header(self) -> GgufHeader:
        self._check_start()
        num_tensors, num_keys = self._count("<Q", MOST_TENSORS), self._count("<Q", MOST_KEYS)
        metadata = {self._string(): self._value(self._number("<I")) for _ in range(num_keys)}
        tensors = tuple(self._tensor() for _ in range(num_tensors))
        self._check_end(tensors, int(metadata.get("general.alignment", 32)))
        return GgufHeader(metadata=metadata, tensors=tensors)

    def _check_start(self) -> None:
        if self.data[:4] != b"GGUF":
            raise UsageError(f"{self.path} is not a GGUF file: it does not begin with the letters GGUF.")
        self.position = 4
        version = self._number("<I")
        if version not in (2, 3):
            raise UsageError(f"{self.path} is GGUF version {version}; versions 2 and 3 are read. Convert it anew.")

    def _check_end(self, tensors: tuple[GgufTensor, ...], alignment: int) -> None:
        start = -(-self.position // alignment) * alignment
        needed = max((start + tensor.offset + tensor.num_bytes for tensor in tensors), default=start)
        if needed > len(self.data):
            found, wanted = format_bytes(len(self.data)), format_bytes(needed)
            raise UsageError(
                f"{self.path} is cut off: it has {found} ({len(self.data)} bytes) and needs {wanted} ({needed} bytes). "
                "Fetch it again."
            )

    def _number(self, layout: str) -> Any:
        (value,) = struct.unpack_from(layout, self.data, self.position)
        self.position += struct.calcsize(layout)
        return value

    def _count(self, layout: str, most: int) -> int:
        count = int(self._number(layout))
        if count > most:
            raise ValueError(f"{count:,} where no file has more than {most:,}")
        return count

    def _bytes(self) -> bytes:
        length = self._count("<Q", LONGEST_TEXT)
        start, self.position = self.position, self.position + length
        if self.position > len(self.data):
            raise ValueError("a string goes past the end of the file")
        return self.data[start : self.position]

    def _string(self) -> str:
        return self._bytes().decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._bytes().decode("utf-8", errors="replace")
        if kind == _ARRAY:
            return self._skip_array()
        return self._number(_NUMBERS[kind])

    def _skip_array(self) -> int:
        kind, length = self._number("<I"), self._number("<Q")
        if kind in _NUMBERS:
            self.position += int(length) * struct.calcsize(_NUMBERS[kind])
        else:
            self.texts += length
            if self.texts > MOST_TEXTS:
                raise ValueError(f"more than {MOST_TEXTS:,} texts in arrays")
            for _ in range(length):
                self._skip(kind)
        return int(length)

    def _skip(self, kind: int) -> None:
        if kind == _ARRAY:
            self._skip_array()
            return
        (length,) = struct.unpack_from("<Q", self.data, self.position)
        self.position += 8 + length

    def _tensor(self) -> GgufTensor:
        name, sides = self._string(), self._count("<I", MOST_SIDES)
        shape = tuple(self._number("<Q") for _ in range(sides))
        return GgufTensor(name=name, shape=shape, kind=self._number("<I"), offset=self._number("<Q"))
