"""A DeepSpeed JSON of the user's own: read, checked, and joined with the recipe. Two different values are an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunekit.ds_config.accepted import PREFIXED
from tunekit.ds_config.check import check_ds_config
from tunekit.ds_config.json_source import read_json_source
from tunekit.ds_config.stated import Stated, dig, stated_values
from tunekit.ds_config.values import shown
from tunekit.errors import Problem, RecipeError
from tunekit.recipe.schema import Recipe
from tunekit.recipe.shipped import existing_path
from tunekit.source_lines import SourceLines

_NOT_OURS: Mapping[str, str] = {
    "scheduler": "delete it and set train.scheduler and train.warmup_ratio; the recipe owns the schedule",
    "tensor_parallel": "delete it; tunekit trains data-parallel",
    "pipeline": "delete it; tunekit trains data-parallel",
    "expert_parallel": "delete it; tunekit trains data-parallel",
    "sequence_parallel_size": "delete it; tunekit trains data-parallel",
    "data_parallel_size": "delete it; there is one process per GPU",
    "hybrid_engine": "delete it; it serves generation while training",
    "autotuning": "delete it; tunekit plans instead of trying",
    "compile": "delete it; DeepCompile waits for engine.compile(), which the Trainer never calls",
    "data_efficiency": "delete it; DeepSpeed's data loader is not used, tunekit.worker.data reads the rows",
    "weight_quantization": "delete it; for a small frozen base set method.kind=qlora",
}
_OPTIMIZERS = ("adamw", "adam", "lion", "sgd")


def load_user_config(path: str) -> dict[str, Any]:
    """The user's JSON, keys of stage 3 under their prefixed names; it may hold "auto" still.

    RecipeError with file and line: no such file, not JSON, removed or unknown keys, combinations that do not work, and
    sections that tunekit cannot run.
    """
    return normalised(_read(path).content)


def adopt_user_config(recipe: Recipe) -> Recipe:
    """The recipe with every value that its `zero.config` states and it leaves open; unchanged without `zero.config`.

    RecipeError: all values that the two state differently, both shown.
    """
    if recipe.zero.config is None:
        return recipe
    source = _read(recipe.zero.config)
    stated = tuple(stated_values(normalised(source.content)))
    clashes = [problem for value in stated for problem in _clash(recipe, value, source)]
    if clashes:
        raise RecipeError(clashes, source=f"the recipe and {source.file}")
    return _with_values(recipe, stated)


def normalised(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with one name per key: `bf16` for `bfloat16`, `stage3_` before the keys of stage 3."""
    result = {("bf16" if key == "bfloat16" else key): value for key, value in config.items()}
    zero = result.get("zero_optimization")
    if isinstance(zero, Mapping):
        result["zero_optimization"] = {
            (f"stage3_{key}" if key in PREFIXED else key): value for key, value in zero.items()
        }
    return result


def _read(path: str) -> SourceLines:
    found = existing_path(path)
    if found is None or not found.is_file():
        hint = "zero.preset names a shipped one; zero.config is a path"
        raise RecipeError([Problem(key="zero.config", found=f"there is no file {path}", hint=hint)])
    source = read_json_source(found, name=path)
    cannot_run = tuple(_cannot_run(source))
    told = {problem.key for problem in cannot_run}
    checked = check_ds_config(source.content, source=source.file, lines=source.lines, auto_allowed=True)
    problems = (*cannot_run, *(problem for problem in checked if problem.key not in told))
    if problems:
        raise RecipeError(sorted(problems, key=_line), source=source.file)
    return source


def _line(problem: Problem) -> int:
    """Line of a problem, those of the file as a whole first."""
    line = problem.where.rpartition(":")[2]
    return int(line) if line.isdigit() else 0


def _cannot_run(source: SourceLines) -> Iterator[Problem]:
    config = source.content
    for key, hint in _NOT_OURS.items():
        if key in config:
            yield Problem(key=key, where=source.where(key), found="cannot be used with tunekit", hint=hint)
    yield from _named_twice(source)
    zero = config.get("zero_optimization", {})
    if isinstance(zero, Mapping) and "stage" not in zero:
        key, hint = "zero_optimization.stage", 'write "zero_optimization": {"stage": 2}'
        yield Problem(key=key, where=source.where(key), found="no stage", allowed="0, 1, 2 or 3", hint=hint)
    block = config.get("optimizer")
    if isinstance(block, Mapping) and str(block.get("type", "")).lower() not in _OPTIMIZERS:
        key, kind = "optimizer.type", block.get("type")
        yield Problem(
            key=key, where=source.where(key), found=f"found {shown(kind)}", allowed="AdamW, Adam, Lion or SGD"
        )


def _named_twice(source: SourceLines) -> Iterator[Problem]:
    """Keys that stand under both of their names; which one counts would be chance."""
    pairs = [("bf16", "bfloat16")] + [
        (f"zero_optimization.stage3_{name}", f"zero_optimization.{name}") for name in sorted(PREFIXED)
    ]
    for name, other in pairs:
        if dig(source.content, name) is not None and dig(source.content, other) is not None:
            yield Problem(key=other, where=source.where(other), found=f"another name of {name}, which stands here too")


def _clash(recipe: Recipe, value: Stated, source: SourceLines) -> Iterator[Problem]:
    mine = _written(recipe, value.recipe_key)
    if mine is None or mine == value.value:
        return
    yield Problem(
        key=value.recipe_key,
        where=source.where(value.json_key),
        found=f"the recipe says {_typed(mine)}, {source.file} says {_typed(value.value)} ({value.json_key})",
        allowed="one value, given once",
        hint=f"delete {value.recipe_key} from the recipe, or {_mend(value)} in {source.file}",
    )


def _mend(value: Stated) -> str:
    # Stage and offloads cannot be left to the plan: what a file does not say of them, DeepSpeed takes for "none".
    placement = value.recipe_key in ("zero.stage", "zero.bf16_states") or ".offload_" in value.recipe_key
    return f"change {value.json_key}" if placement else 'write "auto"'


def _typed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _written(recipe: Recipe, key: str) -> Any:
    """What the recipe itself says; None where it leaves the value open."""
    section_name, _, name = key.partition(".")
    section = getattr(recipe, section_name)
    return getattr(section, name) if name in section.model_fields_set else None


def _with_values(recipe: Recipe, stated: tuple[Stated, ...]) -> Recipe:
    sections: dict[str, dict[str, Any]] = {}
    for value in stated:
        section, _, name = value.recipe_key.partition(".")
        sections.setdefault(section, {})[name] = value.value
    changed = {name: getattr(recipe, name).model_copy(update=values) for name, values in sections.items()}
    return recipe.model_copy(update=changed)
