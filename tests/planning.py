"""Short words for tests of planning: real shapes of the catalogue, shipped machines, recipes of a few keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tunekit.hardware.profiles import load_profile
from tunekit.hardware.spec import Hardware
from tunekit.model_shape import catalogue
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.resolve import Resolved, resolve
from tunekit.recipe.schema import Recipe

LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
LLAMA_7B = "meta-llama/Llama-2-7b-chat-hf"
CODELLAMA_34B = "codellama/CodeLlama-34b-Instruct-hf"
SMOLLM = "HuggingFaceTB/SmolLM2-135M-Instruct"


def shape_of(name: str) -> ModelShape:
    """A model of the catalogue."""
    shape = catalogue.find(name)
    assert shape is not None, name
    return shape


def recipe_for(model: str = SMOLLM, kind: str = "lora", **keys: Any) -> Recipe:
    """A recipe; keywords are keys with `__` for the dot, e.g. `train__max_seq_length=512`."""
    tree: dict[str, Any] = {
        "model": {"path": model},
        "method": {"kind": kind},
        "data": {"path": "rows.jsonl"},
        "output": {"dir": "runs/x"},
    }
    for key, value in keys.items():
        section, _, name = key.partition("__")
        tree.setdefault(section, {})[name] = value
    return Recipe.model_validate(tree)


def machine(name: str = "dual_rtx4090", **host: Any) -> Hardware:
    """A shipped machine; keywords change its host."""
    hardware = load_profile(name)
    return replace(hardware, host=replace(hardware.host, **host)) if host else hardware


def laptop(processes: int = 2, **host: Any) -> Hardware:
    """A machine without cards."""
    return replace(machine(**host), name="laptop", gpus=(), link=None, cpu_processes=processes)


def climbed(recipe: Recipe, hardware: Hardware | None = None) -> Resolved:
    """The recipe resolved by the ladder alone, as it is where no speed is known."""
    return resolve(recipe, shape_of(recipe.model.path), hardware or machine(), exact=False)


def resolved(recipe: Recipe, hardware: Hardware | None = None) -> Resolved:
    """The recipe resolved on a machine (two RTX 4090)."""
    return resolve(recipe, shape_of(recipe.model.path), hardware or machine())
