"""What compiling DeepSpeed's ops needs of a machine, and what of it is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NEEDS_TOOLKIT = ("async_io",)
"""On cards these are linked against CUDA's own libraries (`op_builder/async_io.py`, 0.19.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """What is here to compile with; None stands for what is not found."""

    compiler: str | None
    """What `CXX` names, else c++."""
    standard: str
    """The C++ standard that the ops are compiled with, such as c++20."""
    complaint: str | None = None
    """The compiler's first words where it cannot compile three lines of that standard; None where it can."""
    python_header: bool = True
    libaio_header: bool = True
    ninja: str | None = None
    """Where ninja lies on the PATH of the builder."""
    cuda_home: str | None = None
    """The CUDA toolkit, with nvcc."""


def toolchain_fault(ops: Sequence[str], here: Toolchain, *, on_cards: bool) -> str | None:
    """What is missing to compile `ops`, with what to type; None where nothing is to be built or all is there."""
    missing = tuple(_missing(ops, here, on_cards)) if ops else ()
    if not missing:
        return None
    faults, cures = (" and ".join(words) for words in zip(*missing, strict=True))
    return f"DeepSpeed's {', '.join(ops)} must be compiled once, but {faults}; {cures}."


def _missing(ops: Sequence[str], here: Toolchain, on_cards: bool) -> Iterator[tuple[str, str]]:
    """(what is wrong, what to type) of each part."""
    if here.compiler is None:
        yield "there is no C++ compiler", "apt install g++"
    elif here.complaint is not None:
        yield f"{here.compiler} cannot compile {here.standard} ({here.complaint})", "apt install g++-12, set CXX=g++-12"
    if not here.python_header:
        yield "Python.h is not here", "apt install python3-dev"
    if here.ninja is None:
        yield "ninja is not on the PATH", "pip install ninja"
    if "async_io" in ops and not here.libaio_header:
        yield "libaio.h is not here", "apt install libaio-dev"
    if on_cards and here.cuda_home is None and set(ops) & set(NEEDS_TOOLKIT):
        yield "the CUDA toolkit is not here", "install the toolkit of torch's CUDA version, set CUDA_HOME"
