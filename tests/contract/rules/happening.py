"""What the real libraries do where tunekit refuses: one process, every case by its name, one line of JSON at the end.

Nothing of tunekit is imported. A case returns what it saw; what it raises is seen too.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bitsandbytes as bnb
import deepspeed
import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from transformers import LlamaConfig, LlamaForCausalLM

CASES: dict[str, Callable[[], Any]] = {}
SECONDS = 30
BF16 = {"enabled": True}
CPU = {"device": "cpu", "pin_memory": False}


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    """One case, known by its function's name."""
    CASES[function.__name__] = function
    return function


def engine_of(config: dict[str, Any], *, optimizer: Any = torch.optim.AdamW, model: Any = None) -> Any:
    """A DeepSpeed engine around a model of two layers, after one step."""
    model = model or torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Linear(32, 8))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    own = {} if optimizer is None or "optimizer" in config else {"optimizer": optimizer(trained, lr=1e-3)}
    whole = {"train_micro_batch_size_per_gpu": 1, "zero_allow_untested_optimizer": True, **config}
    engine, *_ = deepspeed.initialize(model=model, model_parameters=trained, config=whole, **own)
    return engine


def step(engine: Any) -> None:
    """Forward, backward, optimizer."""
    dtype = next(parameter.dtype for parameter in engine.module.parameters() if parameter.is_floating_point())
    engine.backward(engine(torch.ones(1, 16, dtype=dtype)).float().square().mean())
    engine.step()


def llama(**changes: Any) -> LlamaForCausalLM:
    """A Llama of two tiny layers."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, **{**sizes, **changes}))


# Quantised bases


def packed_bytes(storage: torch.dtype, config: dict[str, Any]) -> dict[str, Any]:
    """Whether the packed bytes of a 4-bit layer are the same before and after the engine has started."""
    torch.manual_seed(0)
    base = Linear4bit(16, 32, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", quant_storage=storage)
    base = base.to("cpu")
    base.requires_grad_(False)
    rows = torch.randn(4, 16, dtype=torch.bfloat16)
    before, result = base.weight.data.clone().view(torch.uint8), base(rows).float().clone()
    engine = engine_of(config, model=torch.nn.Sequential(base, torch.nn.Linear(32, 8)))
    layer = engine.module[0]
    with deepspeed.zero.GatheredParameters([layer.weight], enabled=hasattr(layer.weight, "ds_id")):
        after = layer.weight.data.clone().view(torch.uint8)
        same = before.shape == after.shape and torch.equal(before, after)
        moved = float((layer(rows).float() - result).abs().max()) if before.shape == after.shape else None
    return {"same": same, "moved": moved}


@case
def four_bits_stored_as_bytes() -> Any:
    return packed_bytes(torch.uint8, {"bf16": BF16, "zero_optimization": {"stage": 2}})


@case
def four_bits_stored_as_the_engines_float() -> Any:
    return packed_bytes(torch.bfloat16, {"bf16": BF16, "zero_optimization": {"stage": 2}})


@case
def four_bits_stored_as_another_float() -> Any:
    return packed_bytes(torch.float16, {"bf16": BF16, "zero_optimization": {"stage": 2}})


@case
def four_bits_stored_as_another_float_under_three() -> Any:
    return packed_bytes(torch.float16, {"bf16": BF16, "zero_optimization": {"stage": 3}})


@case
def four_bits_stored_as_float32() -> Any:
    return packed_bytes(torch.float32, {"bf16": BF16, "zero_optimization": {"stage": 2}})


# Placement


@case
def parameter_offload_under_two() -> Any:
    zero = {"stage": 2, "offload_param": CPU}
    engine = engine_of({"bf16": BF16, "zero_optimization": zero})
    return {"partitioned": any(hasattr(each, "ds_id") for each in engine.module.parameters())}


@case
def parameter_offload_under_three() -> Any:
    engine = engine_of({"bf16": BF16, "zero_optimization": {"stage": 3, "offload_param": CPU}})
    return {"partitioned": all(hasattr(each, "ds_id") for each in engine.module.parameters())}


@case
def nvme_under_two() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        zero = {"stage": 2, "offload_optimizer": {"device": "nvme", "nvme_path": folder}}
        engine = engine_of({"bf16": BF16, "zero_optimization": zero, "zero_force_ds_cpu_optimizer": False})
        step(engine)
        return {"files": sum(path.is_file() for path in Path(folder).rglob("*"))}


@case
def offload_under_zero() -> Any:
    engine = engine_of({"bf16": BF16, "zero_optimization": {"stage": 0, "offload_optimizer": CPU}})
    return {"optimizer": type(engine.optimizer).__name__}


@case
def ratio_under_two() -> Any:
    return engine_of({"bf16": BF16, "zero_optimization": {"stage": 2, "offload_optimizer": {**CPU, "ratio": 0.5}}})


@case
def super_offload_under_two() -> Any:
    zero = {"stage": 2, "offload_optimizer": {**CPU, "super_offload": True}}
    engine = engine_of({"bf16": BF16, "zero_optimization": zero, "zero_force_ds_cpu_optimizer": False})
    return {"optimizer": type(engine.optimizer).__name__}


@case
def super_offload_without_cuda() -> Any:
    zero = {"stage": 3, "offload_optimizer": {**CPU, "super_offload": True}}
    return engine_of({"bf16": BF16, "zero_optimization": zero, "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}})


@case
def quantised_weights_under_two() -> Any:
    engine = engine_of({"bf16": BF16, "zero_optimization": {"stage": 2, "zero_quantized_weights": True}})
    step(engine)
    return {"steps": engine.global_steps}


@case
def adapters_saved_from_partitions() -> Any:
    model = get_peft_model(llama(), LoraConfig(r=4, target_modules=["q_proj"]))
    engine = engine_of({"bf16": BF16, "zero_optimization": {"stage": 3}}, model=model)
    shapes = [tuple(tensor.shape) for tensor in get_peft_model_state_dict(engine.module).values()]
    return {"tensors": len(shapes), "empty": sum(0 in shape for shape in shapes)}


@case
def partitioned_weights_outside_the_engine() -> Any:
    engine = engine_of({"bf16": BF16, "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0}})
    return torch.nn.functional.linear(torch.ones(1, 16, dtype=torch.bfloat16), engine.module[0].weight)


# Optimizer


@case
def zero_without_an_optimizer() -> Any:
    return engine_of({"bf16": BF16, "zero_optimization": {"stage": 2}}, optimizer=None)


@case
def eight_bit_optimizer_offloaded() -> Any:
    return engine_of({"zero_optimization": {"stage": 2, "offload_optimizer": CPU}}, optimizer=bnb.optim.AdamW8bit)


@case
def torch_optimizer_offloaded() -> Any:
    return engine_of({"zero_optimization": {"stage": 2, "offload_optimizer": CPU}}, optimizer=torch.optim.SGD)


@case
def untested_optimizer() -> Any:
    return engine_of(
        {"zero_optimization": {"stage": 2}, "zero_allow_untested_optimizer": False}, optimizer=torch.optim.SGD
    )


def with_optimizer(kind: str, params: dict[str, Any], zero: dict[str, Any], **more: Any) -> Any:
    block = {"type": kind, "params": {"lr": 1e-3, **params}}
    return engine_of({"bf16": BF16, "zero_optimization": zero, "optimizer": block, **more})


@case
def clipping_inside_the_optimizer() -> Any:
    return with_optimizer("AdamW", {"max_grad_norm": 1.0}, {"stage": 2})


@case
def amsgrad_offloaded() -> Any:
    return with_optimizer("AdamW", {"amsgrad": True}, {"stage": 2, "offload_optimizer": CPU})


@case
def a_share_of_lion_offloaded() -> Any:
    return with_optimizer("Lion", {}, {"stage": 3, "offload_optimizer": {**CPU, "ratio": 0.5}})


@case
def warm_up_of_no_steps() -> Any:
    schedule = {"type": "WarmupLR", "params": {"warmup_num_steps": 0}}
    return engine_of({"zero_optimization": {"stage": 1}, "scheduler": schedule})


@case
def adam_is_adamw() -> Any:
    engine = with_optimizer("Adam", {"torch_adam": True, "weight_decay": 0.1}, {"stage": 1})
    return {"optimizer": type(engine.basic_optimizer).__name__}


# Precision


@case
def another_type_of_parameters() -> Any:
    return engine_of({"bf16": BF16, "data_types": {"param_dtype": "fp16"}})


@case
def other_sums_under_zero() -> Any:
    return engine_of({"bf16": BF16, "data_types": {"grad_accum_dtype": "fp32"}})


@case
def fp16_master_on_the_device() -> Any:
    fp16 = {"enabled": True, "fp16_master_weights_and_grads": True}
    return engine_of({"fp16": fp16, "zero_optimization": {"stage": 2}})


@case
def bf16_master_with_fp32_states_on_the_device() -> Any:
    return engine_of({"bf16": {**BF16, "bf16_master_weights_and_grads": True}, "zero_optimization": {"stage": 2}})


# Gradients


@case
def gradients_scaled_before_they_are_scattered() -> Any:
    return engine_of({"bf16": BF16, "zero_optimization": {"stage": 2}, "prescale_gradients": True})


@case
def own_accumulation_with_overlap() -> Any:
    zero = {"stage": 1, "overlap_comm": True}
    return engine_of({"bf16": BF16, "zero_optimization": zero, "managed_gradient_accumulation": False})


@case
def clipping_left_to_auto() -> Any:
    engine = engine_of({"bf16": BF16, "zero_optimization": {"stage": 2}, "gradient_clipping": "auto"})
    step(engine)


@case
def batch_left_to_auto() -> Any:
    return engine_of({"train_micro_batch_size_per_gpu": "auto"})


@case
def checkpointing_without_gradients_of_inputs() -> Any:
    seen = {}
    for prepared in (False, True):
        model = get_peft_model(llama(), LoraConfig(r=4, target_modules=["q_proj"]))
        model.train()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
        if prepared:
            model.enable_input_require_grads()
        else:
            # PEFT does it where it is told of the checkpointing first; a plain script does not.
            model.get_input_embeddings()._forward_hooks.clear()
        row = torch.arange(8)[None]
        with warnings.catch_warnings(), contextlib.suppress(RuntimeError):
            warnings.simplefilter("ignore")
            model(input_ids=row, labels=row, use_cache=False).loss.backward()
        trained = [parameter for name, parameter in model.named_parameters() if "lora_B" in name]
        seen["prepared" if prepared else "plain"] = sum(parameter.grad is not None for parameter in trained)
    return seen


# The Trainer and transformers


def trainer_of(**arguments: Any) -> Any:
    from transformers import Trainer, TrainingArguments

    model = arguments.pop("model", None) or llama()
    row = {"input_ids": list(range(8)), "labels": list(range(8))}
    with tempfile.TemporaryDirectory() as folder:
        made = TrainingArguments(output_dir=folder, use_cpu=True, report_to="none", **arguments)
        return Trainer(model=model, args=made, train_dataset=[row], eval_dataset=[row])


@case
def full_training_of_packed_weights() -> Any:
    model = llama()
    model.hf_quantizer = SimpleNamespace(is_trainable=True, is_qat_trainable=False, is_compileable=False)
    model.is_quantized = True
    return trainer_of(model=model)


@case
def both_precisions_in_the_trainer() -> Any:
    return trainer_of(bf16=True, fp16=True)


@case
def fsdp_beside_deepspeed() -> Any:
    zero = {"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}
    return trainer_of(deepspeed=zero, fsdp="full_shard")


@case
def flash_attention_in_fp32() -> Any:
    return LlamaForCausalLM._from_config(llama().config, attn_implementation="flash_attention_2", dtype=torch.float32)


@case
def device_map_under_three() -> Any:
    from transformers.integrations import HfDeepSpeedConfig

    with tempfile.TemporaryDirectory() as folder:
        llama().save_pretrained(folder)
        kept = HfDeepSpeedConfig({"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 1})
        try:
            return LlamaForCausalLM.from_pretrained(folder, device_map="auto")
        finally:
            del kept


@case
def batch_size_searched_under_three() -> Any:
    zero = {"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": "auto"}
    return trainer_of(auto_find_batch_size=True, deepspeed=zero).train()


@case
def only_the_model_saved_and_the_best_loaded() -> Any:
    zero = {"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}
    best = {"save_strategy": "steps", "eval_strategy": "steps", "load_best_model_at_end": True}
    return trainer_of(save_only_model=True, deepspeed=zero, **best)


def give_up(_signal: int, _frame: Any) -> None:
    """A case that hangs is one that was seen to hang."""
    raise TimeoutError(f"hangs for more than {SECONDS} s")


def main(names: list[str]) -> None:
    """Every case, or those named."""
    deepspeed.init_distributed("gloo")
    signal.signal(signal.SIGALRM, give_up)
    seen: dict[str, Any] = {}
    for name in names or list(CASES):
        signal.alarm(SECONDS)
        try:
            found = CASES[name]()
            seen[name] = {"value": found if isinstance(found, dict) else type(found).__name__}
        except BaseException as error:  # an assertion, a SystemExit of a library: all of it is what happens
            seen[name] = {"error": f"{type(error).__name__}: {error}"[:600]}
        finally:
            signal.alarm(0)
    print("RESULTS " + json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1:])
