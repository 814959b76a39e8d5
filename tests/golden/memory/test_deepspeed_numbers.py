"""The memory model against DeepSpeed's own published runs and against bytes counted in real ones."""

from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory.case import make_case
from tunekit.memory.estimate import collect_terms, estimate_memory
from tunekit.memory.terms import MemoryTerm
from tunekit.model_shape.catalogue import find
from tunekit.model_shape.shape import ModelShape
from tunekit.units import GIB

STATES = {
    "weights", "adapter weights", "frozen base", "gradients", "master weights", "optimizer states",
    "master weights in RAM", "optimizer states in RAM", "gradients in RAM", "transfer buffers of offload",
    "trained weights in RAM", "frozen base in RAM",
}  # fmt: skip
SHAPE = llama(layers=8, hidden=512, heads=8, ffn=1408, vocab=512)
TINY = {"reduce_bucket_size": 1, "prefetch_bucket_size": 1, "param_persistence_threshold": 0, "pin_memory": False}


def terms(zero: dict[str, Any], *, ranks: int, accumulate: int = 1) -> tuple[MemoryTerm, ...]:
    plan = job(zero={**TINY, **zero}, ranks=ranks, accumulate=accumulate)
    return collect_terms(make_case(plan, SHAPE, machine(0)))


def per_parameter(zero: dict[str, Any], *, ranks: int, accumulate: int = 1, backward: bool = True) -> float:
    """Bytes of model states per parameter and rank, device and host together, as a CPU run holds them."""
    held = [term for term in terms(zero, ranks=ranks, accumulate=accumulate) if term.name in STATES]
    lasting = [term for term in held if backward or term.name != "gradients" or "save" in term.phases]
    return sum(term.host_bytes for term in lasting) / SHAPE.num_parameters / ranks


CPU = {"offload_optimizer": "cpu"}
BOTH = {**CPU, "offload_param": "cpu"}
BF16 = {"bf16_states": True}


@pytest.mark.parametrize(
    ("zero", "ranks", "accumulate", "steady", "backward"),
    [
        ({"stage": 0}, 1, 1, 14, 16),
        ({"stage": 1}, 1, 1, 14, 16),
        ({"stage": 2}, 1, 1, 14, 16),
        ({"stage": 3}, 1, 1, 16, 16),
        ({"stage": 2, **BF16}, 1, 1, 8, 10),
        ({"stage": 3, **BF16}, 1, 1, 10, 10),
        ({"stage": 2, **CPU}, 1, 1, 20, 20),
        ({"stage": 2, **CPU}, 1, 4, 22, 22),
        ({"stage": 3, **CPU}, 1, 1, 20, 20),
        ({"stage": 3, **BOTH}, 1, 1, 20, 20),
        ({"stage": 2, **CPU, **BF16}, 1, 1, 12, 12),
        ({"stage": 3, **CPU, **BF16}, 1, 1, 12, 12),
        ({"stage": 2}, 2, 1, 8, 9),
        ({"stage": 2, **CPU}, 2, 1, 11, 11),
        ({"stage": 3}, 2, 1, 8, 8),
        ({"stage": 3, **CPU}, 2, 1, 10, 10),
        ({"stage": 3, **BOTH}, 2, 1, 10, 10),
    ],
)
def test_bytes_per_parameter_and_rank(
    zero: dict[str, Any], ranks: int, accumulate: int, steady: float, backward: float
) -> None:
    """Live tensors of DeepSpeed 0.19.8 on the CPU accelerator, after a step and in backward."""
    staging = 2 * 512 * 1408 / SHAPE.num_parameters if zero["stage"] == 2 and "offload_optimizer" in zero else 0
    found = per_parameter(zero, ranks=ranks, accumulate=accumulate, backward=False) - staging
    assert found == pytest.approx(steady, abs=0.02)
    found = per_parameter(zero, ranks=ranks, accumulate=accumulate) - staging
    assert found == pytest.approx(backward, abs=0.02)


def seven_billion() -> ModelShape:
    """6.86 billion parameters, as in DeepSpeedExamples training/bf16_master_weight."""
    return llama(layers=32, hidden=4096, heads=32, kv_heads=32, ffn=11008, vocab=46_900)


@pytest.mark.parametrize(("bf16", "published"), [(False, 25.74), (True, 16.17)])
def test_steady_zero3_on_four_cards(bf16: bool, published: float) -> None:
    plan = job(zero={"stage": 3, "bf16_states": bf16}, ranks=4)
    held = collect_terms(make_case(plan, seven_billion(), machine(4)))
    steady = sum(term.device_bytes for term in held if term.name in STATES) / GIB
    assert steady == pytest.approx(published, rel=0.015)


def test_peak_of_zero3_on_four_cards() -> None:
    """Published 31.38 GiB: the steady states and 6 bytes x one sub-group of the default size."""
    found = estimate_memory(job(zero={"stage": 3}, ranks=4, max_seq_length=512), seven_billion(), machine(4))
    outside = sum(term.device_bytes for term in found.terms if not term.pooled)
    assert (found.device.expected_bytes - outside) / GIB == pytest.approx(31.38, rel=0.015)
    assert found.device.worst_phase == "optimizer"


HOST_GB = [
    ("Qwen/Qwen2.5-1.5B", (31, 34), 35.7),
    ("meta-llama/Llama-3.2-3B", (64, 69), 72.9),
    ("Qwen/Qwen2.5-7B", (142.5, 147), 160),
    ("meta-llama/Llama-3.1-8B", (147.9, 150), 165),
    ("meta-llama/Llama-2-13b-hf", (246, 276), 281),
]


@pytest.mark.parametrize(("hub_id", "optimizer", "both"), HOST_GB)
def test_ram_of_offloaded_adam_on_two_ranks(hub_id: str, optimizer: tuple[float, float], both: float) -> None:
    """Offloaded states in GB with every pinned block rounded up: stages 2 and 3, and with the parameters in RAM too."""
    shape = find(hub_id)
    assert shape is not None

    def gigabytes(zero: dict[str, Any]) -> float:
        held = collect_terms(make_case(job(zero=zero), shape, machine()))
        return sum(term.host_bytes for term in held if term.name in STATES) / 1e9

    for stage in (2, 3):
        assert optimizer[0] * 0.99 < gigabytes({"stage": stage, **CPU}) < optimizer[1] * 1.03
    assert gigabytes({"stage": 3, **BOTH}) == pytest.approx(both, rel=0.01)


WORKED = [
    ("meta-llama/Llama-3.2-3B", 2048, "full", (10.0, 6.1)),
    ("meta-llama/Llama-3.2-3B", 8192, "full", (19.9, 16.0)),
    ("meta-llama/Llama-3.2-3B", 8192, "chunked", (9.2, 5.4)),
    ("Qwen/Qwen2.5-7B", 2048, "full", (18.9, 10.0)),
    ("Qwen/Qwen2.5-7B", 2048, "chunked", (16.0, 7.1)),
    ("Qwen/Qwen2.5-7B", 8192, "full", (30.6, 21.7)),
    ("Qwen/Qwen2.5-7B", 8192, "chunked", (18.8, 9.9)),
    ("meta-llama/Llama-3.1-8B", 2048, "full", (19.3, 9.7)),
    ("meta-llama/Llama-3.1-8B", 8192, "chunked", (19.8, 10.2)),
    ("meta-llama/Llama-2-13b-hf", 2048, "full", (26.8, 9.4)),
    ("meta-llama/Llama-2-13b-hf", 8192, "chunked", (30.6, 13.1)),
]


@pytest.mark.parametrize(("hub_id", "tokens", "loss", "gib"), WORKED)
def test_adapters_under_zero2_on_two_cards(hub_id: str, tokens: int, loss: str, gib: tuple[float, float]) -> None:
    """GiB per card with half a GiB of context, rank 16 on all linear layers, activation checkpointing."""
    shape = find(hub_id)
    assert shape is not None
    for method, expected in zip(("lora", "qlora"), gib, strict=True):
        plan = job(method, zero={"reduce_bucket_size": shape.hidden_size**2}, max_seq_length=tokens, loss=loss)
        found = estimate_memory(plan, shape, machine())
        outside = sum(term.device_bytes for term in found.terms if not term.pooled and "step" in term.phases)
        step = next(peak for peak in found.peaks if peak.phase == "step")
        assert (step.device_bytes - outside) / GIB + 0.5 == pytest.approx(expected, abs=0.16)
