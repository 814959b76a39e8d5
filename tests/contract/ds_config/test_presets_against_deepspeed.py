"""Every preset, as it is and filled from a plan, is read by DeepSpeed, transformers and accelerate without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from tests.plans import ADAPTER, CPU_BOX, DUAL_4090, make_job, make_recipe
from tunekit.ds_config.buckets import bucket_sizes, overlap_comm
from tunekit.ds_config.build import build_ds_config
from tunekit.ds_config.check import check_ds_config, dotted_items
from tunekit.ds_config.combinations import ZENFLOW_FAULT
from tunekit.ds_config.presets import load_preset, preset_facts, preset_names
from tunekit.model_shape.catalogue import find
from tunekit.recipe.job import Job, Quantization

pytestmark = pytest.mark.train

Parse = Callable[[dict[str, Any]], tuple[Any, set[str]]]
METHODS = ("full", "lora", "qlora")
CASES = tuple(product(preset_names(), METHODS, ("cuda", "cpu")))
SHAPE = find("meta-llama/Llama-2-7b-hf")


def planned(preset: str, method: str, accelerator: str) -> Job:
    """A job as a planner would make it for this preset."""
    assert SHAPE is not None
    hardware = DUAL_4090 if accelerator == "cuda" else CPU_BOX
    facts = preset_facts(load_preset(preset))
    sizes = bucket_sizes(
        SHAPE,
        hardware,
        stage=facts.stage,
        trainable=SHAPE.tensors,
        world_size=2,
        offload_optimizer=facts.offload_optimizer,
        offload_param=facts.offload_param,
        offload_ratio=facts.offload_ratio,
    )
    zero = {name: choice.value for name, choice in sizes.items()} | {
        "preset": preset,
        "stage": facts.stage,
        "offload_optimizer": facts.offload_optimizer,
        "offload_param": facts.offload_param,
        "offload_ratio": facts.offload_ratio,
        "bf16_states": facts.bf16_states,
        "zenflow": facts.zenflow,
        "nvme_path": "/fast" if "nvme" in (facts.offload_optimizer, facts.offload_param) else None,
        "pin_memory": accelerator == "cuda",
        "overlap_comm": overlap_comm(hardware, stage=facts.stage, method=method).value,  # type: ignore[arg-type]
    }
    job = make_job(hardware, zero=zero, method=method, adapter=None if method == "full" else ADAPTER)
    quantization = Quantization(kind="nf4", double_quant=True) if method == "qlora" else None
    return replace(job, quantization=quantization)


def built(preset: str, method: str, accelerator: str) -> dict[str, Any]:
    assert SHAPE is not None
    config = build_ds_config(make_recipe(), planned(preset, method, accelerator), SHAPE)
    # What is run has been through a file.
    return json.loads(json.dumps(config))  # type: ignore[no-any-return]


def test_all_presets_and_methods_are_seen() -> None:
    assert len(CASES) == 14 * 3 * 2


@pytest.mark.parametrize(("preset", "method", "accelerator"), CASES)
def test_deepspeed_reads_every_key_that_is_run(preset: str, method: str, accelerator: str, parse: Parse) -> None:
    config = built(preset, method, accelerator)
    read, asked = parse(config)
    assert "auto" not in dict(dotted_items(config)).values()
    assert set(config) <= asked
    facts = preset_facts(load_preset(preset))
    problems = check_ds_config(config, source=preset, world_size=2)
    assert [problem.found for problem in problems] == ([ZENFLOW_FAULT] if facts.zenflow else [])
    assert read.zero_optimization_stage == facts.stage
    assert read.train_batch_size == 4 == config["train_micro_batch_size_per_gpu"] * 2 * 2
    assert read.bfloat16_config.enabled is True
    assert read.zero_config.overlap_comm is config["zero_optimization"]["overlap_comm"]
    assert _device(read.zero_config.offload_optimizer) == facts.offload_optimizer
    assert _device(read.zero_config.offload_param) == facts.offload_param
    assert (read.zero_config.zenflow is not None) is facts.zenflow


def _device(section: Any) -> str:
    return "none" if section is None else str(section.device)


@pytest.mark.parametrize("preset", preset_names())
def test_deepspeed_reads_every_key_of_the_file(preset: str, parse: Parse) -> None:
    config = load_preset(preset)
    read, asked = parse(config)
    assert set(config) <= asked
    assert read.train_batch_size == 16


def trainer_arguments(job: Job, config: dict[str, Any]) -> SimpleNamespace:
    """The fields of TrainingArguments that transformers holds against the file."""
    batch, params = job.batch, config.get("optimizer", {}).get("params", {})
    return SimpleNamespace(
        world_size=batch.world_size,
        per_device_train_batch_size=batch.micro_batch_size,
        gradient_accumulation_steps=batch.gradient_accumulation_steps,
        max_grad_norm=1.0,
        learning_rate=job.learning_rate,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=params.get("eps", 1e-8),
        weight_decay=0.0,
        save_on_each_node=False,
        fp16=False,
        fp16_full_eval=False,
        bf16=True,
        bf16_full_eval=False,
    )


def mismatches(config: dict[str, Any], arguments: SimpleNamespace) -> list[str]:
    pytest.importorskip("transformers")
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    reader = HfTrainerDeepSpeedConfig(config)
    reader.trainer_config_process(arguments)
    assert reader.config == config, "the Trainer filled something in"
    return list(reader.mismatches)


@pytest.mark.parametrize(("preset", "method"), list(product(preset_names(), METHODS)))
def test_the_trainer_agrees_with_what_is_run(preset: str, method: str) -> None:
    config = built(preset, method, "cuda")
    assert mismatches(config, trainer_arguments(planned(preset, method, "cuda"), config)) == []


@pytest.mark.parametrize("preset", preset_names())
def test_the_trainer_agrees_with_the_file_as_the_readme_says(preset: str) -> None:
    config = load_preset(preset)
    job = make_job(DUAL_4090, learning_rate=1e-5)
    job = replace(job, batch=replace(job.batch, micro_batch_size=1, gradient_accumulation_steps=8))
    assert mismatches(config, trainer_arguments(job, config)) == []
    other = trainer_arguments(job, config)
    other.gradient_accumulation_steps = 2
    assert len(mismatches(config, other)) == 1


@pytest.mark.parametrize("preset", preset_names())
def test_accelerate_takes_the_file(preset: str) -> None:
    pytest.importorskip("accelerate")
    from accelerate.utils import DeepSpeedPlugin

    facts = preset_facts(load_preset(preset))
    plugin = DeepSpeedPlugin(hf_ds_config=load_preset(preset))
    assert plugin.zero_stage == facts.stage
    assert plugin.gradient_accumulation_steps == 8
    assert plugin.zero3_init_flag is (facts.stage == 3)
    assert plugin.hf_ds_config.is_offload() is (facts.offload_optimizer != "none" or facts.offload_param != "none")
