from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from peft import LoraConfig, get_peft_model  # noqa: E402
from peft.tuners.lora.bnb import Linear8bitLt as LoraLinear8bitLt  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

from tests.traces import LLAMA  # noqa: E402
from tunekit.worker.tracing.eight_bit import EightBitLinear, use_eight_bits  # noqa: E402

pytestmark = pytest.mark.train


def layer() -> EightBitLinear:
    return EightBitLinear(torch.nn.Linear(64, 32, dtype=torch.bfloat16))


def test_a_product_and_its_gradient() -> None:
    rows = torch.zeros(1, 5, 64, dtype=torch.bfloat16, requires_grad=True)
    linear = layer()
    assert linear.weight.dtype == torch.int8
    made = linear(rows)
    assert made.shape == (1, 5, 32)
    made.sum().backward()
    assert rows.grad is not None
    assert rows.grad.shape == rows.shape


def test_the_input_is_held_by_the_node_and_by_no_saved_tensor() -> None:
    kept: list[torch.Tensor] = []
    rows = torch.zeros(4, 64, dtype=torch.bfloat16, requires_grad=True) * 1
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        made = layer()(rows)
    assert kept == []
    held = made.grad_fn.held
    assert held.untyped_storage().data_ptr() == rows.untyped_storage().data_ptr()


def test_nothing_is_held_without_gradients() -> None:
    with torch.no_grad():
        assert layer()(torch.zeros(4, 64, dtype=torch.bfloat16)).grad_fn is None


def test_peft_takes_it_for_bitsandbytes_own_and_the_head_stays_in_16_bits() -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**LLAMA), dtype=torch.bfloat16)
        use_eight_bits(model)
        wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"]), low_cpu_mem_usage=True)
    assert isinstance(wrapped.get_base_model().model.layers[0].self_attn.q_proj, LoraLinear8bitLt)
    assert type(model.lm_head) is torch.nn.Linear
    assert isinstance(model.model.layers[1].mlp.down_proj, EightBitLinear)
