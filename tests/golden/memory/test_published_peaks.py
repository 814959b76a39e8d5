"""The formulas against peaks that others published in bytes (foundation-model-stack/fms-acceleration, one A100).

Those runs used the plain Trainer: adapters and their states in float32, no ZeRO. So the terms are added here as that
trainer allocates them. The loss coefficient is the one of its library version: 14 V, or 2 V with Liger's fused loss.
"""

import pytest
from memory_jobs import ATTENTION, job, machine

from tunekit.memory import activations, model_states
from tunekit.memory.case import Case, make_case
from tunekit.model_shape.catalogue import find

MISTRAL, LLAMA3, LLAMA70 = "mistralai/Mistral-7B-v0.1", "meta-llama/Meta-Llama-3-8B", "meta-llama/Llama-2-70b-hf"
PEAKS = [
    (MISTRAL, "lora", 4, 14, 26_700_000_000),
    (MISTRAL, "lora", 8, 14, 38_740_000_000),
    (MISTRAL, "qlora", 4, 14, 16_373_838_336),
    (MISTRAL, "qlora", 8, 14, 28_412_178_944),
    (MISTRAL, "qlora", 4, 2, 13_035_024_896),
    (MISTRAL, "qlora", 8, 2, 21_761_798_656),
    (MISTRAL, "qlora", 16, 2, 39_215_346_176),
    (MISTRAL, "qlora", 32, 2, 74_122_441_216),
    (LLAMA3, "lora", 4, 2, 24_905_936_896),
    (LLAMA3, "lora", 8, 2, 33_567_698_944),
    (LLAMA3, "lora", 16, 2, 50_891_223_040),
    (LLAMA3, "qlora", 4, 2, 14_411_297_792),
    (LLAMA3, "qlora", 8, 2, 22_936_744_960),
    (LLAMA70, "qlora", 4, 14, 68_126_381_056),
]


def a_case(hub_id: str, method: str, micro: int) -> Case:
    shape = find(hub_id)
    assert shape is not None
    plan = job(method, ranks=1, micro=micro, max_seq_length=4096, targets=ATTENTION, packing=False)
    return make_case(plan, shape, machine(1))


def steady(case: Case) -> int:
    """The base, and weights and moments of the adapters in float32."""
    base = (model_states.frozen_base, model_states.quantised_base, model_states.base_scales)
    return sum(term(case).device_bytes for term in base) + 12 * case.inventory.num_trainable


def peak(case: Case, coefficient: int) -> int:
    layer = activations.layer_phase(case) * case.tokens + activations.dequantised_weight(case).device_bytes
    loss = (coefficient * case.shape.vocab_size + 6 * case.shape.hidden_size) * case.tokens
    gradients = 4 * case.inventory.num_trainable
    return steady(case) + activations.activation_checkpoints(case).device_bytes + max(layer, loss) + gradients


@pytest.mark.parametrize(("hub_id", "method", "micro", "coefficient", "published"), PEAKS)
def test_peak(hub_id: str, method: str, micro: int, coefficient: int, published: int) -> None:
    error = peak(a_case(hub_id, method, micro), coefficient) / published - 1
    assert abs(error) < 0.04


def test_the_median_of_all_is_within_two_percent() -> None:
    errors = sorted(abs(peak(a_case(*row[:3]), row[3]) / row[4] - 1) for row in PEAKS)
    assert errors[len(errors) // 2] < 0.02


@pytest.mark.parametrize(("method", "published"), [("lora", 14_664_000_000), ("qlora", 4_307_000_000)])
def test_what_stays_between_steps(method: str, published: int) -> None:
    assert steady(a_case(MISTRAL, method, 4)) == pytest.approx(published, rel=0.005)
