"""One forward and backward of the real modelling code under the ledger, and one evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from tunekit.memory.tracing import TracedModule, TracedPhase, TraceRequest
from tunekit.worker.tracing.batch import make_batch
from tunekit.worker.tracing.build import build_model, inner, make_fake, parameters_and_buffers
from tunekit.worker.tracing.kernels import on_device
from tunekit.worker.tracing.mode import TracingMode
from tunekit.worker.tracing.storages import INPUTS, OUTSIDE, Kind, Ledger, kind_of
from tunekit.worker.tracing.timeline import modules_at_peak, phase_peaks


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedStep:
    """What one depth of the model showed. `left` are activation bytes still alive after backward: inputs."""

    phases: tuple[TracedPhase, ...]
    modules: tuple[TracedModule, ...]
    kernels: tuple[str, ...]
    left: int


def trace_step(request: TraceRequest, config: Any) -> TracedStep:
    """Build the model of `config` without weights, run one micro-batch, and read the ledger."""
    fake, ledger = FakeTensorMode(allow_non_fake_inputs=True), Ledger()
    batch = make_batch(request)
    model = build_model(request, config)
    make_fake(model, fake)
    if request.loss == "chunked":
        use_chunked_loss(model)
    for tensor in parameters_and_buffers(model):
        ledger.ignore(tensor)
    ledger.shared = shared_weights(model)
    mode = TracingMode(fake, ledger)
    with fake, mode, on_device(request.accelerator, chunked_loss=request.loss == "chunked") as kernels:
        with ledger.made_by(INPUTS):
            inputs = {name: mode.known(each) if torch.is_tensor(each) else each for name, each in batch.items()}
        train(model, inputs, request, ledger)
        left = sum(size for serial, size, _ in ledger.alive.values() if serial not in ledger.gradients)
        if request.evaluates:
            evaluate(model, inputs, request, ledger)
    return TracedStep(
        phases=phase_peaks(ledger.events, ledger.gradients),
        modules=modules_at_peak(ledger.events, ledger.gradients),
        kernels=(*kernels.used, *(["flash-attn 2"] if request.attention == "flash_attention_2" else [])),
        left=left,
    )


def shared_weights(model: Any) -> frozenset[Kind]:
    """The trained weights that two modules share."""
    counts = Counter(id(each) for _, each in model.named_parameters(remove_duplicate=False) if each.requires_grad)
    return frozenset(kind_of(each) for each in model.parameters() if counts[id(each)] > 1)


def use_chunked_loss(model: Any) -> None:
    """TRL's fused head, as the worker adds it."""
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(inner(model), outputs=("log_probs",))


def train(model: Any, inputs: dict[str, Any], request: TraceRequest, ledger: Ledger) -> None:
    """Forward, loss and backward; gradients of weights are taken away as soon as they are there."""
    with watched(model, ledger):
        loss = call(model, inputs, request).loss
        loss.backward()


def evaluate(model: Any, inputs: dict[str, Any], request: TraceRequest, ledger: Ledger) -> None:
    """The loss of held-out rows; the outputs live until it is there."""
    model.eval()
    with torch.no_grad(), ledger.inside("eval"):
        call(model, inputs, request)
    model.train()


def call(model: Any, inputs: dict[str, Any], request: TraceRequest) -> Any:
    """The model called as the worker's trainer calls it."""
    items = torch.tensor(request.micro_batch_size * request.max_seq_length)
    fused = {"fused_lm_head": True} if request.loss == "chunked" else {}
    if getattr(inner(model).config, "output_router_logits", False):
        fused["output_router_logits"] = True
    return model(**inputs, use_cache=False, **fused, num_items_in_batch=items)


@contextmanager
def watched(model: Any, ledger: Ledger) -> Iterator[None]:
    """Tell the ledger which module works, which part of the step it is, and what are gradients of weights."""
    names = {id(module): name for name, module in model.named_modules()}
    names |= {id(model): OUTSIDE, id(inner(model)): OUTSIDE}
    backbone = inner(model).base_model
    with ExitStack() as hooks:
        hooks.callback(register_module_forward_pre_hook(partial(_enter, names, ledger)).remove)
        hooks.callback(register_module_forward_hook(partial(_leave, names, ledger)).remove)
        hooks.callback(backbone.register_forward_hook(partial(_end_of_layers, ledger)).remove)
        for parameter in model.parameters():
            if parameter.requires_grad:
                hooks.callback(parameter.register_hook(partial(_mark, ledger)).remove)
                taken = partial(_take_away, ledger)
                hooks.callback(parameter.register_post_accumulate_grad_hook(taken).remove)
        yield


def _enter(names: dict[int, str], ledger: Ledger, module: Any, args: Any) -> None:
    ledger.modules.append(names.get(id(module)) or OUTSIDE)


def _leave(names: dict[int, str], ledger: Ledger, module: Any, args: Any, made: Any) -> None:
    if len(ledger.modules) > 1:
        ledger.modules.pop()
    first = made[0] if isinstance(made, tuple) and made else made
    if isinstance(first, torch.Tensor) and first.requires_grad and first.grad_fn is not None:
        first.register_hook(partial(_backward_of, ledger, names.get(id(module)) or OUTSIDE))


def _backward_of(ledger: Ledger, name: str, gradient: torch.Tensor) -> None:
    """Backward has reached this module. Recomputed layers stop early, so that their names were not taken off."""
    ledger.modules[:] = [OUTSIDE, name]


def _end_of_layers(ledger: Ledger, module: Any, args: Any, made: Any) -> None:
    ledger.phase = "loss" if ledger.phase == "forward" else ledger.phase
    hidden = made[0]
    if hidden.requires_grad:
        hidden.register_hook(partial(_backward_begins, ledger))


def _backward_begins(ledger: Ledger, gradient: torch.Tensor) -> None:
    ledger.phase = "backward"


def _mark(ledger: Ledger, gradient: torch.Tensor) -> None:
    ledger.mark_gradient(gradient)


def _take_away(ledger: Ledger, parameter: Any) -> None:
    ledger.mark_gradient(parameter.grad)
    parameter.grad = None
