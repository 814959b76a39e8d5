from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from tests.contract.memory import traced as real  # noqa: E402
from tests.traces import LLAMA, LORA, a_request  # noqa: E402
from tunekit.memory.tracing import TraceRequest  # noqa: E402
from tunekit.worker.tracing import mode  # noqa: E402
from tunekit.worker.tracing.build import make_config, parameters_and_buffers  # noqa: E402
from tunekit.worker.tracing.step import TracedStep, trace_step, watched  # noqa: E402
from tunekit.worker.tracing.storages import Ledger  # noqa: E402
from tunekit.worker.tracing.timeline import phase_peaks  # noqa: E402

pytestmark = pytest.mark.train
TOKENS = 256


def traced(request: TraceRequest) -> TracedStep:
    return trace_step(request, make_config(request))


def peak(step: TracedStep) -> int:
    return max(phase.activation_bytes for phase in step.phases)


class Counting(TorchDispatchMode):
    """The ledger over tensors with numbers in them."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.ledger.note(made)
        return made


def peaks_of_a_real_run(targets: tuple[str, ...], checkpointing: bool) -> dict[str, int]:
    """What the same model takes when it computes, on the CPU."""
    model, ledger = real.build(LLAMA, targets), Ledger()
    rows = real.ids(model, TOKENS)
    if checkpointing:
        real.inner(model).gradient_checkpointing_enable({"use_reentrant": False})
    for tensor in parameters_and_buffers(model):
        ledger.ignore(tensor)
    with Counting(ledger), watched(model, ledger):
        model(input_ids=rows, labels=rows, use_cache=False).loss.backward()
    return {phase.name: phase.activation_bytes for phase in phase_peaks(ledger.events, ledger.gradients)}


@pytest.mark.parametrize(("targets", "checkpointing"), [((), True), ((), False), (LORA.target_modules, True)])
def test_fake_tensors_take_what_real_ones_take(
    targets: tuple[str, ...], checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Under a mode autograd adds no gradients in place, so that here the trace may not either.
    monkeypatch.setattr(mode, "sums_in_place", lambda func, args: False)
    request = a_request(
        accelerator="cpu",
        max_seq_length=TOKENS,
        activation_checkpointing=checkpointing,
        adapter=LORA if targets else None,
        method="lora" if targets else "full",
    )
    inputs = 3 * 8 * TOKENS
    found = {phase.name: phase.activation_bytes - inputs for phase in traced(request).phases}
    assert found == pytest.approx(peaks_of_a_real_run(targets, checkpointing), rel=0.001)


def test_parts_come_in_order_and_only_inputs_are_left() -> None:
    step = traced(a_request(evaluates=True))
    assert [phase.name for phase in step.phases] == ["forward", "loss", "backward", "eval"]
    assert step.left <= 4 * 8 * 64


def test_gradients_of_weights_are_told_apart() -> None:
    step = traced(a_request(max_seq_length=8))
    backward = next(phase for phase in step.phases if phase.name == "backward")
    assert backward.activation_bytes < 2 * 256 * 704 < backward.with_gradients_bytes


def test_recomputing_layers_keeps_less() -> None:
    kept = [
        peak(traced(a_request(config={"num_hidden_layers": 6}, activation_checkpointing=on))) for on in (True, False)
    ]
    assert kept[0] < 0.6 * kept[1]


@pytest.mark.parametrize("reentrant", [True, False])
def test_both_kinds_of_recomputing(reentrant: bool) -> None:
    request = a_request(activation_checkpointing=True, reentrant=reentrant, adapter=LORA, method="lora")
    assert peak(traced(request)) > 0


@pytest.mark.parametrize("attention", ["sdpa", "flash_attention_2"])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("packing", [True, False])
def test_kernels_are_those_of_the_job(attention: str, rows: int, packing: bool) -> None:
    step = traced(a_request(attention=attention, micro_batch_size=rows, packing=packing, loss="chunked"))
    masked = packing or rows > 1
    wanted = {
        "sdpa": "memory-efficient (in torch)" if masked else "flash (in torch)",
        "flash_attention_2": "flash-attn 2",
    }
    assert step.kernels == (wanted[attention],)


def test_eager_scores_grow_with_the_square_of_the_row() -> None:
    short, long = (peak(traced(a_request(attention="eager", max_seq_length=length))) for length in (512, 1024))
    assert long > 3 * short


def test_four_bit_layers_and_their_dequantised_copy() -> None:
    request = a_request(method="qlora", adapter=LORA, base="nf4", double_quant=True, activation_checkpointing=True)
    sixteen = a_request(method="lora", adapter=LORA, activation_checkpointing=True)
    more = peak(traced(request)) - peak(traced(sixteen))
    assert 0 < more <= 2 * 256 * 704 * 1.1 + 64 * 2 * 704


def test_a_chunked_loss_holds_a_tile() -> None:
    wide = {"vocab_size": 64_000}
    full, chunked = (
        peak(traced(a_request(config=wide, loss=loss, max_seq_length=2048))) for loss in ("full", "chunked")
    )
    assert full > 12 * 64_000 * 2048
    assert chunked < full / 2


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_experts_are_routed_without_their_scores(kind: str) -> None:
    sizes = {
        "num_local_experts": 4,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 128,
        "head_dim": 32,
    }
    step = traced(a_request(config={"model_type": kind, **sizes}))
    assert peak(step) > 0
    assert step.left <= 4 * 8 * 64


@pytest.mark.parametrize("kind", ["granite", "cohere", "gpt2", "opt", "glm4", "smollm3", "deepseek_v3"])
def test_families_that_the_formulas_do_not_know(kind: str) -> None:
    experts = {
        "num_experts_per_tok": 2,
        "n_routed_experts": 8,
        "first_k_dense_replace": 1,
        "n_group": 2,
        "topk_group": 1,
    }
    config = {"model_type": kind, "num_key_value_heads": 8, **experts}
    request = a_request(config=config, loss="chunked", activation_checkpointing=True)
    assert peak(traced(request)) > 0
