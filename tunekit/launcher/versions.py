"""Which versions of Python and of the libraries can train: the least that works, and pairs known to fail. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

LEAST: Mapping[str, str] = MappingProxyType(
    {
        "torch": "2.6",
        "transformers": "5.20",
        "trl": "1.16",
        "peft": "0.21",
        "accelerate": "1.15",
        "datasets": "4",
        "deepspeed": "0.19.8",
        "bitsandbytes": "0.50",
    }
)
"""As in the extra `train` of pyproject.toml, which a test holds beside it."""
LEAST_PYTHON = "3.11"
"""transformers 5.23 needs it."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "deepspeed": "0.16.0 cannot accumulate gradients under ZeRO-2 with newer accelerate, and 0.19.2 breaks LoRA "
        "under ZeRO-3 at the first step",
        "torch": "older ones read DeepSpeed's checkpoints in a way that newer DeepSpeed no longer writes",
        "transformers": "the trainer's arguments were renamed",
    }
)
"""Why an older one fails (DeepSpeed issues 6793 and 8072; transformers 5)."""


def version_faults(python: str, versions: Mapping[str, str | None]) -> tuple[str, ...]:
    """What is too old to train with, and what to type. What is not installed is no fault of its version."""
    faults = [_python(python)] if _numbers(python) < _numbers(LEAST_PYTHON) else []
    return (*faults, *_libraries(versions))


def torch_fault(cuda: str | None, *, version: str | None) -> str:
    """What is wrong where GPUs shall train and torch was built without CUDA; empty when `cuda` names its version."""
    if cuda is not None or version is None:
        return ""
    return f"torch {version} is built without CUDA and cannot use the GPUs; pip install --force-reinstall torch."


def standard_of(torch: str | None) -> str:
    """The C++ standard that DeepSpeed compiles its ops with (`op_builder/builder.py`, `cxx_args`, 0.19.8)."""
    return "c++20" if _numbers(torch or "2.13") >= (2, 12) else "c++17"


def major_of(version: str | None) -> int | None:
    """The first number of a version; None where there is none."""
    return _numbers(version)[0] if version and _numbers(version) else None


def is_older(version: str, least: str) -> bool:
    """Whether a version is older than another, number by number."""
    return _numbers(version) < _numbers(least)


def _python(version: str) -> str:
    return (
        f"Python {version} is older than {LEAST_PYTHON}, which transformers needs; make an environment of a newer one."
    )


def _libraries(versions: Mapping[str, str | None]) -> Iterator[str]:
    for name, least in LEAST.items():
        found = versions.get(name)
        if found is not None and is_older(found, least):
            reason = f" ({REASONS[name]})" if name in REASONS else ""
            yield f"{name} {found} is older than {least}{reason}; pip install '{name}>={least}'."


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 13, 0) of 2.13.0+cpu or 2.13.0rc1."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
