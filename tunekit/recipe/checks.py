"""Rules over several keys that need neither the model nor the hardware.

Each rule looks at values through a `Reader`, which refuses keys that are themselves faulty: a rule then stays silent,
and all others still speak. Sources: how DeepSpeed 0.19.8, transformers 5.23, TRL 1.16 and bitsandbytes 0.50.2 behave.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tunekit.errors import Problem
from tunekit.recipe.keys import all_keys, in_yaml, join_words, nearest_name
from tunekit.recipe.precedence import ADAPTER_KEYS, FOUR_BIT_KEYS
from tunekit.recipe.schema import Recipe
from tunekit.recipe.shipped import shipped_names
from tunekit.secrecy import redact_forms

Rule = Callable[["Reader"], Iterator[Problem]]

_ADDRESS = re.compile(r"https?://[^\s/]\S*|\$[A-Za-z_][A-Za-z0-9_]*")

STAGE_3_KEYS = (
    "prefetch_bucket_size",
    "param_persistence_threshold",
    "sub_group_size",
    "max_live_parameters",
    "max_reuse_distance",
)
"""Keys of `zero` that DeepSpeed accepts and ignores below stage 3."""


class Unreadable(Exception):
    """A rule asked for a key that is faulty itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A recipe of which some keys could not be read."""

    recipe: Recipe
    written: frozenset[str]
    """Dotted keys that the user gave a value other than auto."""
    faulty: frozenset[str]

    def __getitem__(self, key: str) -> Any:
        """The value of a dotted key; raises Unreadable when it is faulty."""
        section, _, name = key.rpartition(".")
        if key in self.faulty or section in self.faulty:
            raise Unreadable(key)
        return getattr(getattr(self.recipe, section), name) if section else getattr(self.recipe, name)

    def wrote(self, key: str) -> bool:
        """True when the user wrote the key with a readable value."""
        return key in self.written and key not in self.faulty


def check_recipe(seen: Reader) -> tuple[Problem, ...]:
    """Every broken rule of a recipe; empty when all hold."""
    return tuple(problem for rule in RULES for problem in _apply(rule, seen))


def remarks(recipe: Recipe) -> tuple[str, ...]:
    """What is allowed but has no effect or a surprising one; shown as warnings of the plan."""
    train, output = recipe.train, recipe.output
    said = [*_trusted(recipe)]
    if train.max_steps and output.save_steps and output.save_steps > train.max_steps:
        said.append(
            f"output.save_steps is {output.save_steps} and train.max_steps {train.max_steps}: "
            "no checkpoint is written before the final model."
        )
    if train.max_steps and train.eval_steps and train.eval_steps > train.max_steps:
        said.append(
            f"train.eval_steps is {train.eval_steps} and train.max_steps {train.max_steps}: evaluated at the end only."
        )
    if recipe.data.eval_path and recipe.data.eval_path == recipe.data.path:
        said.append(f"data.eval_path is the training data ({recipe.data.path}): the evaluation loss says nothing new.")
    return tuple(said)


def _trusted(recipe: Recipe) -> Iterator[str]:
    model = recipe.model
    if model.trust_remote_code:
        yield f"model.trust_remote_code is true: Python code that comes with {model.path} runs as you."
    if model.allow_pickle:
        yield f"model.allow_pickle is true: pickle files of {model.path} may run code while they are read."


def _apply(rule: Rule, seen: Reader) -> Iterator[Problem]:
    try:
        yield from rule(seen)
    except Unreadable:
        return


def _preset_exists(seen: Reader) -> Iterator[Problem]:
    preset, known = seen["zero.preset"], shipped_names("ds_configs")
    if preset is None or preset in known:
        return
    near = nearest_name(preset, known)
    if preset.endswith(".json"):
        hint = f"for a file of your own write zero.config: {preset}"
    else:
        hint = f"did you mean {near}?" if near else "for a file of your own write zero.config"
    yield Problem(
        key="zero.preset", found=f"there is no preset {preset}", allowed=f"allowed: {join_words(known)}", hint=hint
    )


def _one_source_of_zero(seen: Reader) -> Iterator[Problem]:
    preset = seen["zero.preset"]
    for other in ("zero.stage", "zero.config"):
        if preset is not None and seen[other] is not None:
            yield Problem(
                key=other,
                found=f"found {seen[other]} beside zero.preset {preset}",
                allowed="allowed: one of the two: a preset already says the stage and the offloads",
                hint=f"remove {other} or set zero.preset=auto",
            )


def _no_adapter_in_full(seen: Reader) -> Iterator[Problem]:
    if seen["method.kind"] == "full":
        yield from _foreign_to_method(seen, ADAPTER_KEYS, "lora or qlora")


def _four_bit_needs_qlora(seen: Reader) -> Iterator[Problem]:
    if seen["method.kind"] != "qlora":
        yield from _foreign_to_method(seen, FOUR_BIT_KEYS, "qlora")


def _foreign_to_method(seen: Reader, names: tuple[str, ...], kinds: str) -> Iterator[Problem]:
    kind = seen["method.kind"]
    for name in names:
        if seen.wrote(f"method.{name}"):
            yield Problem(
                key=f"method.{name}",
                found=f"found {in_yaml(seen[f'method.{name}'])} while method.kind is {kind}",
                allowed=f"only with method.kind {kinds}",
                hint=f"remove it, or set method.kind={kinds.partition(' ')[0]}",
            )


def _target_modules(seen: Reader) -> Iterator[Problem]:
    kind, targets = seen["method.kind"], seen["method.target_modules"]
    if not targets:
        yield Problem(
            key="method.target_modules",
            found="found no module",
            allowed="allowed: all-linear, or at least one module name",
        )
    elif kind == "qlora" and "lm_head" in ([targets] if isinstance(targets, str) else targets):
        yield Problem(
            key="method.target_modules",
            found="found lm_head while method.kind is qlora",
            allowed="allowed: linear layers other than the head",
            hint="take lm_head out, or name it in method.modules_to_save to train it in full",
        )


def _parameter_offload_needs_stage_3(seen: Reader) -> Iterator[Problem]:
    yield from _offload_needs_stage(seen, "offload_param", ("cpu", "nvme"), 3, "offload_param=none")


def _nvme_needs_stage_3(seen: Reader) -> Iterator[Problem]:
    yield from _offload_needs_stage(seen, "offload_optimizer", ("nvme",), 3, "offload_optimizer=cpu")


def _offload_needs_a_partition(seen: Reader) -> Iterator[Problem]:
    yield from _offload_needs_stage(seen, "offload_optimizer", ("cpu",), 1, "offload_optimizer=none")


def _offload_needs_stage(
    seen: Reader, name: str, places: tuple[str, ...], least: int, instead: str
) -> Iterator[Problem]:
    stage, offload = seen["zero.stage"], seen[f"zero.{name}"]
    if stage is not None and stage < least and offload in places:
        yield Problem(
            key=f"zero.{name}",
            found=f"found {offload} with zero.stage {stage}, where DeepSpeed ignores it",
            allowed=f"needs zero.stage {join_words(str(number) for number in range(least, 4))}",
            hint=f"set zero.stage={max(least, 2)} or zero.{instead}",
        )


def _nvme_needs_a_path(seen: Reader) -> Iterator[Problem]:
    users = [name for name in ("offload_optimizer", "offload_param") if seen[f"zero.{name}"] == "nvme"]
    if users and seen["zero.nvme_path"] is None:
        yield Problem(
            key="zero.nvme_path",
            found=f"missing, while zero.{users[0]} is nvme",
            allowed="allowed: a folder on a local NVMe drive",
            hint="write e.g. nvme_path: /mnt/nvme/swap",
        )


def _ratio_needs_stage_3(seen: Reader) -> Iterator[Problem]:
    stage, ratio = seen["zero.stage"], seen["zero.offload_ratio"]
    if ratio is not None and stage is not None and stage < 3:
        yield Problem(
            key="zero.offload_ratio",
            found=f"found {ratio:g} with zero.stage {stage}",
            allowed="needs zero.stage 3 to offload a share of the optimizer",
            hint="set zero.stage=3 or remove it",
        )


def _ratio_needs_offload(seen: Reader) -> Iterator[Problem]:
    ratio, offload = seen["zero.offload_ratio"], seen["zero.offload_optimizer"]
    if ratio is not None and offload == "none":
        yield Problem(
            key="zero.offload_ratio",
            found=f"found {ratio:g} with zero.offload_optimizer none",
            allowed="needs an offloaded optimizer",
            hint="set zero.offload_optimizer=cpu or remove it",
        )


def _tuning_of_another_stage(seen: Reader) -> Iterator[Problem]:
    stage = seen["zero.stage"]
    if stage is None:
        return
    ignored = STAGE_3_KEYS if stage < 3 else ("allgather_bucket_size",)
    for name in ignored:
        if seen.wrote(f"zero.{name}"):
            yield Problem(
                key=f"zero.{name}",
                found=f"found {seen[f'zero.{name}']} with zero.stage {stage}, where DeepSpeed ignores it",
                allowed=f"needs zero.stage {'3' if stage < 3 else '1 or 2'}",
                hint="remove it",
            )


def _bf16_states(seen: Reader) -> Iterator[Problem]:
    if seen["zero.bf16_states"] and seen["train.precision"] in ("fp16", "fp32"):
        yield Problem(
            key="zero.bf16_states",
            found=f"found true with train.precision {seen['train.precision']}",
            allowed="needs train.precision bf16",
            hint="set train.precision=bf16 or zero.bf16_states=false",
        )
    if seen["zero.bf16_states"] and seen["zero.stage"] == 0:
        yield Problem(
            key="zero.bf16_states",
            found="found true with zero.stage 0",
            allowed="needs zero.stage 1, 2 or 3",
            hint="set zero.stage=1 or zero.bf16_states=false",
        )


def _optimizer_can_be_offloaded(seen: Reader) -> Iterator[Problem]:
    optimizer, offload = seen["train.optimizer"], seen["zero.offload_optimizer"]
    if offload in ("cpu", "nvme") and optimizer in ("adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"):
        yield Problem(
            key="train.optimizer",
            found=f"found {optimizer} with zero.offload_optimizer {offload}",
            allowed="allowed: adamw or lion: DeepSpeed has CPU kernels for these only",
            hint="set train.optimizer=adamw or zero.offload_optimizer=none",
        )


def _flash_attention_needs_16_bit(seen: Reader) -> Iterator[Problem]:
    if seen["model.attention"] == "flash_attention_2" and seen["train.precision"] == "fp32":
        yield Problem(
            key="model.attention",
            found="found flash_attention_2 with train.precision fp32",
            allowed="flash_attention_2 computes in bf16 or fp16 only",
            hint="set model.attention=sdpa or train.precision=bf16",
        )


def _batch_adds_up(seen: Reader) -> Iterator[Problem]:
    whole = seen["train.global_batch_size"]
    names = [name for name in ("micro_batch_size", "gradient_accumulation_steps") if seen[f"train.{name}"] is not None]
    if whole is None or not names:
        return
    factors = [seen[f"train.{name}"] for name in names]
    per_device = factors[0] * factors[-1] if len(factors) == 2 else factors[0]
    if whole % per_device:
        product = " x ".join(f"{name} {factor}" for name, factor in zip(names, factors, strict=True))
        equals = f" = {per_device}" if len(factors) == 2 else ""
        yield Problem(
            key="train.global_batch_size",
            found=f"found {whole}, which is not a multiple of {product}{equals}",
            allowed="must be micro_batch_size x gradient_accumulation_steps x number of GPUs",
            hint=f"nearest that work: {join_words(map(str, _multiples_near(whole, per_device)))}",
        )


def _multiples_near(number: int, step: int) -> tuple[int, ...]:
    below = number // step * step
    return (below, below + step) if below else (below + step,)


def _streaming_needs_an_end(seen: Reader) -> Iterator[Problem]:
    if seen["data.streaming"] and seen["train.max_steps"] is None:
        yield Problem(
            key="train.max_steps",
            found="missing, while data.streaming is true and a stream has no length",
            allowed="allowed: a whole number, 1 or more",
            hint="write e.g. max_steps: 1000",
        )


def _streaming_is_not_split(seen: Reader) -> Iterator[Problem]:
    if seen["data.streaming"] and seen["data.eval_fraction"]:
        yield Problem(
            key="data.eval_fraction",
            found=f"found {seen['data.eval_fraction']:g} while data.streaming is true and a stream has no length",
            allowed="allowed: 0 for a stream",
            hint="name held-out data in data.eval_path instead",
        )


def _one_source_of_evaluation(seen: Reader) -> Iterator[Problem]:
    if seen["data.eval_path"] is not None and seen["data.eval_fraction"]:
        yield Problem(
            key="data.eval_fraction",
            found=f"found {seen['data.eval_fraction']:g} beside data.eval_path {seen['data.eval_path']}",
            allowed="allowed: one of the two",
            hint="remove one of them",
        )


def _evaluation_needs_data(seen: Reader) -> Iterator[Problem]:
    steps = seen["train.eval_steps"]
    if steps is not None and seen["data.eval_path"] is None and not seen["data.eval_fraction"]:
        yield Problem(
            key="train.eval_steps",
            found=f"found {steps}, but there is nothing to evaluate on",
            allowed="allowed: data.eval_path, or a data.eval_fraction above 0",
            hint="set data.eval_fraction=0.05",
        )


def _text_has_no_answers(seen: Reader) -> Iterator[Problem]:
    if seen["data.completion_only_loss"] and seen["data.format"] == "text":
        yield Problem(
            key="data.completion_only_loss",
            found="found true with data.format text, which has no answers to tell apart",
            allowed="allowed: false or auto",
            hint="set data.completion_only_loss=false",
        )


def _notify_url_is_one(seen: Reader) -> Iterator[Problem]:
    url = seen["watch.notify_url"]
    if url is not None and not _ADDRESS.fullmatch(url):
        yield Problem(
            key="watch.notify_url",
            found="found what is no address",  # the text itself may be half of a secret
            allowed="allowed: http://…, https://…, or $NAME of the environment",
            hint="write e.g. notify_url: $WEBHOOK, and set WEBHOOK in your shell",
        )


def _no_secrets(seen: Reader) -> Iterator[Problem]:
    for key in all_keys():
        if key in seen.written and key not in seen.faulty and redact_forms(str(seen[key])) != str(seen[key]):
            yield Problem(
                key=key,
                found="found a token, a password or a web hook",
                allowed="allowed: anything but secrets: a recipe is kept in the run directory and shown in plans",
                hint="take it out; libraries read HF_TOKEN and their like from the environment",
            )


RULES: tuple[Rule, ...] = (
    _no_secrets,
    _preset_exists,
    _one_source_of_zero,
    _no_adapter_in_full,
    _four_bit_needs_qlora,
    _target_modules,
    _parameter_offload_needs_stage_3,
    _nvme_needs_stage_3,
    _offload_needs_a_partition,
    _nvme_needs_a_path,
    _ratio_needs_stage_3,
    _ratio_needs_offload,
    _tuning_of_another_stage,
    _bf16_states,
    _optimizer_can_be_offloaded,
    _flash_attention_needs_16_bit,
    _batch_adds_up,
    _streaming_needs_an_end,
    _streaming_is_not_split,
    _one_source_of_evaluation,
    _evaluation_needs_data,
    _text_has_no_answers,
    _notify_url_is_one,
)
"""In the order of the recipe's sections."""
