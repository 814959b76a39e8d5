"""Loads compiled ops as libraries, without DeepSpeed, whose import takes seconds."""

from __future__ import annotations

import ctypes
import importlib
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

from tunekit.hardware.probing import Options, Result


def measure(options: Options) -> Result:
    """`loaded`: the names of all `options.ops`. ImportError: one of them is of another torch, or cut off."""
    importlib.import_module("torch")  # its libraries must be there before
    return {"loaded": [load_library(Path(path)).__name__ for path in options.ops.split(",")]}


def load_library(path: Path) -> Any:
    """The Python module in a compiled op's library."""
    loader = ExtensionFileLoader(path.stem, str(path))
    spec = spec_from_loader(path.stem, loader)
    assert spec is not None
    op = module_from_spec(spec)
    loader.exec_module(op)
    # async_io finds its page-locked tensors in the library of pin_memory (DeepSpeed's own way, 0.19.8).
    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    return op
