from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plans import make_job, make_plan, make_recipe
from tunekit.errors import MissingError
from tunekit.recipe.job import Quantization
from tunekit.worker.adapters import add_adapters
from tunekit.worker.model import base_name, load_model, load_tokenizer, model_folder, quant_storage, quantized_kwargs
from tunekit.worker.world import World

pytestmark = pytest.mark.train
CPU = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))
CUDA = World(rank=1, local_rank=1, size=2, device=torch.device("cuda", 1))
NF4 = Quantization(kind="nf4", double_quant=True)


def test_the_model_is_loaded_in_the_engines_dtype(tiny_model: Path, plan_tiny: Any) -> None:
    model = load_model(plan_tiny(train={"precision": "fp32"}), tiny_model, CPU)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.config._attn_implementation == "sdpa"


def test_the_base_is_called_by_its_hub_id_or_by_the_folder_it_is_in(tiny_model: Path, plan_tiny: Any) -> None:
    here = plan_tiny()
    hub = make_plan(recipe=make_recipe(model={"path": "owner/model"}))
    assert base_name(hub, tiny_model) == "owner/model"
    assert load_model(here, tiny_model, CPU).config.name_or_path == str(tiny_model)


def test_a_4_bit_base_is_really_packed(tiny_model: Path, plan_tiny: Any) -> None:
    model = load_model(plan_tiny(method={"kind": "qlora"}), tiny_model, CPU)
    packed = [parameter for parameter in model.parameters() if parameter.dtype == torch.uint8]
    assert len(packed) == 14  # seven linear layers in each of two
    assert packed[0].quant_state.quant_type == "nf4"
    assert packed[0].quant_state.nested


def test_an_8_bit_base_is_really_in_8_bits_and_its_adapters_learn(tiny_model: Path, plan_tiny: Any) -> None:
    plan = plan_tiny(method={"kind": "qlora", "quantization": "int8"})
    model = load_model(plan, tiny_model, CPU)
    assert sum(parameter.dtype == torch.int8 for parameter in model.parameters()) == 14
    trained = add_adapters(model, plan)
    tokens = torch.arange(10, 30)[None]
    trained.train()
    trained(input_ids=tokens, labels=tokens).loss.backward()
    assert all(value.grad.any() for name, value in trained.named_parameters() if "lora_B" in name)


def test_evaluating_does_not_end_the_learning_of_a_4_bit_model(tiny_model: Path, plan_tiny: Any) -> None:
    plan = plan_tiny(method={"kind": "qlora"})
    model = add_adapters(load_model(plan, tiny_model, CPU), plan)
    tokens = torch.arange(10, 30)[None]
    gradients = []
    for _ in range(2):
        model.train()
        model.zero_grad()
        model(input_ids=tokens, labels=tokens).loss.backward()
        gradients.append({name: value.grad.clone() for name, value in model.named_parameters() if "lora_B" in name})
        model.eval()
        with torch.no_grad():
            model(input_ids=tokens)
    before, after = gradients
    assert all(before[name].any() for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("stage", "precision", "storage"),
    [(2, "bf16", "uint8"), (0, "fp16", "uint8"), (3, "bf16", "bfloat16"), (3, "fp16", "float16"), (3, "fp32", "uint8")],
)
def test_packed_bytes_are_never_stored_as_another_float_than_the_engines(
    stage: int, precision: Any, storage: str
) -> None:
    job = make_job(zero={"stage": stage}, precision=precision, quantization=NF4)
    assert quant_storage(job) == getattr(torch, storage)


def test_zero_3_never_gets_a_device_map() -> None:
    assert quantized_kwargs(make_job(), CUDA) == {}
    two = quantized_kwargs(make_job(zero={"stage": 2}, quantization=NF4), CUDA)
    three = quantized_kwargs(make_job(zero={"stage": 3}, quantization=NF4), CUDA)
    assert two["device_map"] == {"": CUDA.device}
    assert "device_map" not in three
    assert three["quantization_config"].bnb_4bit_compute_dtype == torch.bfloat16


def test_a_chat_template_of_the_recipe_replaces_the_models(tiny_model: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages[0]['content'] }}!")
    own = load_tokenizer(make_plan(), tiny_model)
    replaced = load_tokenizer(make_plan(recipe=make_recipe(model={"chat_template": str(template)})), tiny_model)
    assert "<|im_start|>" in own.chat_template
    assert replaced.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "Hi!"


def test_a_model_that_is_not_on_this_disk_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingError, match="nobody/nothing is not on this disk"):
        model_folder(make_plan(recipe=make_recipe(model={"path": "nobody/nothing"})))


def test_weights_in_pickle_files_are_read_only_when_allowed(tiny_model: Path, plan_tiny: Any, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    model = load_model(plan_tiny(), tiny_model, CPU)
    model.config.save_pretrained(pickled)
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(OSError, match="no file named model.safetensors"):
        load_model(plan_tiny(), pickled, CPU)
    allowed = load_model(plan_tiny(model={"allow_pickle": True}), pickled, CPU)
    assert torch.equal(allowed.lm_head.weight, model.lm_head.weight)
