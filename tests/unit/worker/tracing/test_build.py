from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # noqa: E402

from tests.traces import LORA, a_request  # noqa: E402
from tunekit.errors import UsageError  # noqa: E402
from tunekit.memory.tracing import ALL_LINEAR  # noqa: E402
from tunekit.worker.tracing.build import (  # noqa: E402
    build_model,
    cut_layers,
    inner,
    make_config,
    make_fake,
    num_layers,
)

pytestmark = pytest.mark.train


def test_nothing_is_allocated() -> None:
    request = a_request(config={"hidden_size": 65536, "num_attention_heads": 64})
    model = build_model(request, make_config(request))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_the_wanted_attention_is_set_though_its_package_is_not_here() -> None:
    request = a_request(attention="flash_attention_2")
    assert build_model(request, make_config(request)).config._attn_implementation == "flash_attention_2"


def test_only_adapters_are_trained_and_in_the_engines_type() -> None:
    request = a_request(method="lora", adapter=LORA)
    model = build_model(request, make_config(request))
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    assert {parameter.dtype for parameter in trained.values()} == {torch.bfloat16}


def test_all_linear_is_left_to_peft() -> None:
    from dataclasses import replace

    request = a_request(method="lora", adapter=replace(LORA, target_modules=ALL_LINEAR))
    model = build_model(request, make_config(request))
    names = {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_parameters() if "lora_A" in name}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_is_of_the_wanted_kind(reentrant: bool) -> None:
    request = a_request(activation_checkpointing=True, reentrant=reentrant)
    layer = inner(build_model(request, make_config(request))).model.layers[0]
    assert layer.gradient_checkpointing
    assert layer._gradient_checkpointing_func.keywords["use_reentrant"] is reentrant


def test_tied_weights_stay_one() -> None:
    request = a_request(config={"tie_word_embeddings": True})
    model = build_model(request, make_config(request))
    make_fake(model, FakeTensorMode())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert isinstance(model.lm_head.weight, FakeTensor)
    assert model.lm_head.weight.device.type == "cpu"


def test_fewer_layers_keep_their_lists_in_step() -> None:
    kinds = ["sliding_attention", "full_attention"] * 2
    request = a_request(config={"model_type": "gemma3_text", "num_hidden_layers": 4, "layer_types": kinds})
    config = make_config(request)
    cut_layers(config, 2)
    assert num_layers(config) == 2
    assert config.layer_types == kinds[:2]


def test_a_model_that_transformers_does_not_know() -> None:
    with pytest.raises(UsageError, match="test/llama: transformers cannot read its configuration"):
        make_config(a_request(config={"model_type": "nothing_like_it"}))
