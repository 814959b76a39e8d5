"""The grids: which cases are run, one factor changed at a time around a base, and the boundary of a 24 GB card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from trials.case import Case, boundary
from tunekit.hardware.spec import Hardware

LLAMA_8B, QWEN_7B = "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-7B"
LLAMA_1B, QWEN_05B, SMOLLM = "meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-0.5B", "HuggingFaceTB/SmolLM2-135M"
METHODS = ("full", "lora", "qlora")
OPTIMIZERS = ("adamw_8bit", "paged_adamw_8bit", "adafactor", "lion", "sgd")


def grid(name: str, here: Hardware) -> tuple[Case, ...]:
    """The cases of a grid, each once. KeyError: no such grid."""
    return tuple({case.name: case for case in GRIDS[name](here)}.values())


def tiny(here: Hardware) -> Iterator[Case]:
    """Seconds each: every part of the benchmark, on any machine."""
    for method in METHODS:
        yield Case(model=SMOLLM, layers=1, method=method, length=64, loss="full")
    yield Case(model=SMOLLM, layers=1, method="full", length=64, zero={"preset": "z2"}, processes=2, saves=True)


def gpu(here: Hardware) -> Iterator[Case]:
    """About 90 cases on one card: methods, lengths, batches, recomputation, attention, loss, optimizers, ZeRO."""
    for model, method in product((LLAMA_8B, QWEN_7B), METHODS):
        base = Case(model=model, layers=4, method=method)
        for length, micro in ((512, 1), (2048, 1), (2048, 4), (8192, 1)):
            for checkpointing in (True, False):
                yield replace(base, length=length, micro=micro, checkpointing=checkpointing)
        yield replace(base, loss="full", length=4096)
        yield replace(base, layers=8)
        yield replace(base, length=2048, attention="eager")
        yield replace(base, length=2048, micro=4, packing=False)
        yield replace(base, accumulate=4)
        yield replace(base, evaluates=True, saves=True)
    yield from (replace(Case(model=LLAMA_8B, layers=4, method="full"), optimizer=each) for each in OPTIMIZERS)
    yield from (replace(Case(model=LLAMA_8B, layers=4, method="lora"), rank=each) for each in (8, 64, 256))
    presets = ("z2", "z3", "z2_offload", "z3_offload_optim", "z3_offload")
    yield from (Case(model=LLAMA_1B, layers=16, method="full", zero={"preset": each}) for each in presets)
    if len(here.gpus) > 1:
        for method, preset in product(METHODS, ("z2", "z3")):
            named = "z3_qlora" if (method, preset) == ("qlora", "z3") else preset
            yield Case(model=LLAMA_8B, layers=4, method=method, zero={"preset": named}, processes=2)


def edge(here: Hardware) -> Iterator[Case]:
    """Does a plan called `fits` run on a 24 GB card, and does one called `rejected` fail?"""
    models = ((LLAMA_1B, 10, "full"), *product((LLAMA_8B, QWEN_7B), (6,), ("lora", "qlora")))
    for (model, layers, method), loss in product(models, ("chunked", "full")):
        for length, checkpointing in ((1024, True), (4096, True), (1024, False)):
            base = Case(model=model, layers=layers, method=method, length=length, checkpointing=checkpointing)
            yield from boundary(replace(base, loss=loss, limit_gb=24), here)


def cpu(here: Hardware) -> Iterator[Case]:
    """Two processes: stages, offload, adapters, 4 bits, activations, evaluation and saving."""
    full = Case(model=QWEN_05B, layers=4, method="full", length=128, processes=2, loss="full", zero={"preset": "z2"})
    yield from (replace(full, zero={"preset": each}) for each in ("z0", "z1", "z2", "z3"))
    yield from (replace(full, zero={"preset": each}) for each in ("z2_offload", "z3_offload", "z3_offload_nvme"))
    yield replace(full, accumulate=2)
    yield replace(full, length=512, checkpointing=False)
    yield replace(full, evaluates=True, saves=True)
    yield replace(full, model=SMOLLM, layers=30, length=512, checkpointing=False)
    lora = replace(full, method="lora", model=QWEN_05B, layers=12, length=256)
    yield from (replace(lora, zero={"preset": each}) for each in ("z2", "z3"))
    yield replace(lora, length=1024, checkpointing=False)
    yield from (replace(lora, method="qlora", zero={"preset": each}) for each in ("z2", "z3_qlora"))


GRIDS = {"tiny": tiny, "gpu": gpu, "edge": edge, "cpu": cpu}
"""Name of the grid, and what makes it for a machine."""
