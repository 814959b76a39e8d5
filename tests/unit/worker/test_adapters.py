from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tunekit.errors import TunekitError
from tunekit.recipe.job import Adapter
from tunekit.worker.adapters import add_adapters, check_count, count_trainable, lora_config, numel
from tunekit.worker.model import load_model
from tunekit.worker.world import World

pytestmark = pytest.mark.train
CPU = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_what_the_plan_counted_is_trained(tiny_model: Path, plan_tiny: Any, kind: str) -> None:
    plan = plan_tiny(method={"kind": kind})
    model = add_adapters(load_model(plan, tiny_model, CPU), plan)
    assert count_trainable(model) == plan.num_trainable_parameters
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name for name in trained) == (kind != "full")
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.bfloat16}


def test_an_adapter_remembers_its_base_by_the_name_on_the_hub(tiny_model: Path, plan_tiny: Any, tmp_path: Path) -> None:
    plan = plan_tiny(method={"kind": "lora"})
    on_the_hub = plan.recipe.model.model_copy(update={"path": "owner/model", "revision": "v2"})
    plan = replace(plan, recipe=plan.recipe.model_copy(update={"model": on_the_hub}))
    model = add_adapters(load_model(plan, tiny_model, CPU), plan)
    model.save_pretrained(tmp_path / "final", save_embedding_layers=False)
    config = json.loads((tmp_path / "final" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("owner/model", "v2")
    assert str(tiny_model) not in (tmp_path / "final" / "adapter_config.json").read_text()


def test_adapters_start_alike_whatever_was_drawn_before(tiny_model: Path, plan_tiny: Any) -> None:
    plan = plan_tiny(method={"kind": "lora"})
    starts = []
    for _ in range(2):
        torch.rand(len(starts) + 1)
        model = add_adapters(load_model(plan, tiny_model, CPU), plan)
        starts.append({name: value for name, value in model.state_dict().items() if "lora_" in name})
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    assert any(value.any() for value in starts[0].values())


def test_modules_to_save_are_trained_whole(tiny_model: Path, plan_tiny: Any) -> None:
    plan = plan_tiny(method={"kind": "lora", "modules_to_save": ["lm_head"]})
    model = add_adapters(load_model(plan, tiny_model, CPU), plan)
    assert any("lm_head" in name for name, parameter in model.named_parameters() if parameter.requires_grad)


def test_every_setting_reaches_peft() -> None:
    adapter = Adapter(rank=4, alpha=12, dropout=0.25, target_modules=("q_proj",), use_rslora=True)
    config = lora_config(adapter)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_rslora) == (4, 12, 0.25, True)
    assert set(config.target_modules) == {"q_proj"}
    assert config.modules_to_save is None


def test_another_count_is_refused_with_both_numbers() -> None:
    check_count(5, 5)
    with pytest.raises(TunekitError, match=r"1,500 parameters are trainable, the plan counted 1,000"):
        check_count(1500, 1000)


def test_a_partitioned_parameter_counts_whole() -> None:
    parameter = torch.nn.Parameter(torch.empty(0))
    parameter.ds_numel = 12
    assert numel(parameter) == 12
