"""The JSON Schema of recipe files, so that an editor completes and checks them while they are written."""

from __future__ import annotations

from typing import Any

from tunekit.recipe.keys import Key, all_keys, sections
from tunekit.recipe.schema import Recipe

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_BASE = {
    "description": "Recipes below this one: files beside it, or names of shipped recipes. What stands here wins.",
    "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}}],
}
_REFERENCE = {
    "description": "The value of another key, ${section.key}, or ??? for whoever builds on this recipe to fill in.",
    "type": "string",
    "pattern": "\\$\\{|^\\?\\?\\?$",
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a recipe file; required keys may come from a `base`."""
    return {
        "$schema": DRAFT,
        "title": "tunekit recipe",
        "description": "A fine-tuning job. Anything may be left out or `auto`, except what has no default.",
        "type": "object",
        "properties": {"base": _BASE, **{name: _top_level(name) for name in Recipe.model_fields}},
        "additionalProperties": False,
        "if": {"not": {"required": ["base"]}},
        "then": _required(),
        "$defs": {"reference": _REFERENCE},
    }


def _top_level(name: str) -> dict[str, Any]:
    if name not in sections():
        return _key_schema(all_keys()[name])
    keys = [key for key in all_keys().values() if key.section == name]
    return {
        "description": (sections()[name].__doc__ or "").strip(),
        "type": ["object", "null"],
        "properties": {key.name: _key_schema(key) for key in keys},
        "additionalProperties": False,
    }


def _required() -> dict[str, Any]:
    required = [key for key in all_keys().values() if key.required]
    below = {key.section: {"type": "object", "required": [key.name]} for key in required}
    return {"required": list(below), "properties": below}


def _key_schema(key: Key) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": key.description}
    if not key.required:
        schema["default"] = key.standard if key.auto else _json(key.default)
    if key.example:
        schema["examples"] = [key.example]
    return schema | {"anyOf": [*_types(key), *_words(key), {"$ref": "#/$defs/reference"}]}


def _words(key: Key) -> list[dict[str, Any]]:
    if key.auto:
        return [{"enum": ["auto", None]}]
    if key.off:
        return [{"enum": ["off", False]}]
    return [{"type": "null"}] if key.nullable else []


def _types(key: Key) -> list[dict[str, Any]]:
    text: dict[str, Any] = {"type": "string", "minLength": 1} if key.required else {"type": "string"}
    choices: dict[str, Any] = {"enum": list(key.choices)}
    schemas: dict[str, list[dict[str, Any]]] = {
        "text": [text],
        "flag": [{"type": "boolean"}],
        "whole number": [{"type": "integer", **_limits(key)}],
        "number": [{"type": "number", **_limits(key)}],
        "choice": [choices],
        "choices": [{"type": "array", "items": choices}],
        "texts": [{"type": "array", "items": text}],
        "text or texts": [text, {"type": "array", "items": text}],
        "mapping": [{"type": "object", "additionalProperties": text}],
    }
    return schemas[key.kind]


def _limits(key: Key) -> dict[str, float]:
    bounds = key.bounds
    limits = {
        "minimum": bounds.least,
        "exclusiveMinimum": bounds.above,
        "maximum": bounds.most,
        "exclusiveMaximum": bounds.below,
    }
    return {name: limit for name, limit in limits.items() if limit is not None}


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
