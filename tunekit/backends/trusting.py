"""What a launch was not told to trust: pickled weights, and secrets that would be kept with the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunekit import hub
from tunekit.launcher.preflight import Fault
from tunekit.recipe.schema import Recipe
from tunekit.secrecy import holds_secret

PICKLE_WORDS = "pickle files run code while they are read"


def trust_faults(recipe: Recipe, environ: Mapping[str, str]) -> Iterator[Fault]:
    """Every reason not to start; each says what to type where it is meant so."""
    model = recipe.model
    folder = hub.local_model_dir(model.path, model.revision)
    if folder is not None and hub.is_pickled(folder) and not model.allow_pickle:
        text = f"model.path: {folder} has no safetensors, and {PICKLE_WORDS}; set model.allow_pickle=true to read them."
        yield Fault(kind="usage", check="model_files", text=text)
    for key, value in texts_of(recipe.model_dump(mode="json")):
        if holds_secret(value, environ):
            text = f"{key} holds a secret, and a recipe is kept in the run directory; take it out of the recipe."
            yield Fault(kind="usage", check="data", text=text)


def texts_of(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a recipe with its key; keys of mappings are texts too."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield path, name
            yield from texts_of(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from texts_of(inner, f"{path}[{index}]")
