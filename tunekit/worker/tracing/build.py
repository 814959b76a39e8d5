"""The model as the worker would build it, without weights: from its configuration, quantised, with its adapters."""

from __future__ import annotations

from typing import Any

import torch
from peft import get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoConfig, AutoModelForCausalLM

from tunekit.errors import UsageError
from tunekit.memory.tracing import ALL_LINEAR, TraceRequest
from tunekit.worker.adapters import cast_trainable, lora_config
from tunekit.worker.model import DTYPES


def make_config(request: TraceRequest, layers: int | None = None) -> Any:
    """transformers' configuration, with fewer layers if asked. UsageError: transformers does not know the model."""
    keys = {name: value for name, value in request.config.items() if name not in ("torch_dtype", "dtype")}
    try:
        if request.folder is not None:
            config = AutoConfig.from_pretrained(request.folder, trust_remote_code=True)
        else:
            config = AutoConfig.for_model(**keys)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{request.model}: transformers cannot read its configuration: {error}") from error
    config.use_cache = False
    # Tokens that the recipe does not name; one beyond a cut vocabulary would be refused.
    config.pad_token_id = None
    if layers is not None:
        cut_layers(config, layers)
    return config


def num_layers(config: Any) -> int:
    """Decoder layers of a configuration."""
    return int(config.get_text_config().num_hidden_layers)


def cut_layers(config: Any, layers: int) -> None:
    """Keep the first `layers`: their number, and every list that has one entry for each."""
    text = config.get_text_config()
    before = num_layers(config)
    for name, value in list(vars(text).items()):
        if isinstance(value, (list, tuple)) and len(value) == before:
            setattr(text, name, value[:layers])
    text.num_hidden_layers = layers


def build_model(request: TraceRequest, config: Any) -> Any:
    """The model ready to train, on the meta device."""
    attention = "eager" if request.attention == "eager" else "sdpa"
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            config,
            dtype=DTYPES[request.precision],
            attn_implementation=attention,
            trust_remote_code=request.folder is not None,
        )
    # Set afterwards: transformers would look for a package that need not be installed here.
    model.config._attn_implementation = request.attention
    if request.base == "int8":
        from tunekit.worker.tracing.eight_bit import use_eight_bits

        use_eight_bits(model)
    elif request.base != "none":
        from tunekit.worker.tracing.four_bit import use_four_bits

        use_four_bits(model, kind=request.base, double_quant=request.double_quant)
    trained = with_adapters(model, request)
    if request.activation_checkpointing:
        trained.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": request.reentrant})
    return trained.train()


def with_adapters(model: Any, request: TraceRequest) -> Any:
    """The model wrapped by PEFT as the worker does it."""
    if request.adapter is None:
        return model
    wanted = lora_config(request.adapter)
    if request.adapter.target_modules == ALL_LINEAR:
        wanted.target_modules = ALL_LINEAR[0]
    trained = get_peft_model(model, wanted, autocast_adapter_dtype=False, low_cpu_mem_usage=True)
    cast_trainable(trained, DTYPES[request.precision])
    return trained


def inner(model: Any) -> Any:
    """The transformers model inside a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def make_fake(model: torch.nn.Module, fake: FakeTensorMode) -> None:
    """Give every weight and buffer a fake tensor in its place, tied ones the same."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    held[name] = made.setdefault(id(tensor), _fake(tensor, fake))


def _fake(tensor: torch.Tensor, fake: FakeTensorMode) -> torch.Tensor:
    with fake:
        empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        if not isinstance(tensor, torch.nn.Parameter):
            return empty
        return torch.nn.Parameter(empty, requires_grad=tensor.requires_grad)


def parameters_and_buffers(model: torch.nn.Module) -> list[torch.Tensor]:
    """Everything that lies in memory before a step."""
    return [*model.parameters(), *model.buffers()]
