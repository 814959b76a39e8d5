from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from peft import LoraConfig, get_peft_model  # noqa: E402
from peft.tuners.lora.bnb import Linear4bit as LoraLinear4bit  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

from tests.traces import LLAMA  # noqa: E402
from tunekit.worker.tracing.four_bit import FUSED_TOKENS, FourBitLinear, use_four_bits  # noqa: E402

pytestmark = pytest.mark.train


def layer() -> FourBitLinear:
    return FourBitLinear(torch.nn.Linear(64, 32, dtype=torch.bfloat16), kind="nf4", double_quant=True)


@pytest.mark.parametrize("tokens", [4, FUSED_TOKENS + 1])
def test_a_product_and_its_gradient(tokens: int) -> None:
    rows = torch.zeros(1, tokens, 64, dtype=torch.bfloat16, requires_grad=True)
    made = layer()(rows)
    assert made.shape == (1, tokens, 32)
    made.sum().backward()
    assert rows.grad is not None
    assert rows.grad.shape == rows.shape


def test_only_the_packed_weight_is_saved() -> None:
    linear, kept = layer(), []
    rows = torch.zeros(4, 64, dtype=torch.bfloat16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        linear(rows)
    assert [each.untyped_storage().data_ptr() for each in kept] == [linear.weight.untyped_storage().data_ptr()]
    assert linear.weight.numel() == 64 * 32 // 2


def test_peft_takes_it_for_bitsandbytes_own() -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**LLAMA), dtype=torch.bfloat16)
        use_four_bits(model, kind="nf4", double_quant=True)
        wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"]), low_cpu_mem_usage=True)
    assert isinstance(wrapped.get_base_model().model.layers[0].self_attn.q_proj, LoraLinear4bit)


def test_the_head_stays_in_16_bits() -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**LLAMA), dtype=torch.bfloat16)
        use_four_bits(model, kind="nf4", double_quant=True)
    assert type(model.lm_head) is torch.nn.Linear
    assert isinstance(model.model.layers[1].mlp.down_proj, FourBitLinear)
    assert not any(parameter.requires_grad for parameter in model.parameters())
