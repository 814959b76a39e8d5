"""Random and mutated recipes, structure and all; the same `Random` gives the same recipe.

Starts from the shipped recipes. A `wild` one may hold anything anywhere, a `tame` one has readable keys with readable
values in any combination, so that most of them reach the planner.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import yaml

from tunekit.ds_config.presets import preset_names
from tunekit.hardware.profiles import profile_names
from tunekit.model_shape import catalogue
from tunekit.recipe.foreign_names import FOREIGN_NAMES
from tunekit.recipe.keys import Key, all_keys, sections
from tunekit.recipe.precedence import applies
from tunekit.recipe.shipped import shipped_names, shipped_path

Tree = dict[str, Any]

ODD_TEXTS = (
    "",
    " ",
    "auto",
    "none",
    "null",
    "???",
    "\u202egnp.exe",
    "🦙" * 40,
    "naïve café ＺＥＲＯ",
    "a\u0300" * 30,
    "line\nbreak",
    "tab\tand\\back",
    "nul\0byte",
    "\u0085\u2028\u2029",
    "\x1b[31mred\x1b[0m",
    "[/bold]",
    "$(touch x); `id` | rm -rf / #",
    "--help",
    "-1",
    "../../../../etc/passwd",
    "/dev/zero",
    "~root/x",
    "a/" * 300,
    "x" * 20_000,
    "${model.path}",
    "${output.dir}",
    "${train.max_steps}",
    "${oc.env:HOME}",
    "${oc.env:NOT_THERE_AT_ALL}",
    "${oc.decode:'[1,2'}",
    "${oc.create:{a: 1}}",
    "${oc.dict.keys:train}",
    "${no.such.key}",
    "${unclosed",
    "${a:${b:${c}}}",
    "\\${escaped}",
    "${.}",
    "${..path}",
    "<script>alert(1)</script>",
    "{{ 7*7 }}",
    "%s %d {0}",
    "1e400",
    "0x10",
    "1_000",
    "1:30",
    "2026-11-22",
    "=",
    "!!python/object/apply:os.system ['true']",
)
ODD_NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    10**3,
    10**9,
    10**12,
    10**12 + 1,
    2**31,
    2**63,
    2**64,
    10**30,
    10**99,
    10**400,
    -(10**30),
    0.0,
    -0.0,
    0.5,
    1.0,
    1e-320,
    1e-9,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    True,
    False,
    None,
)
EDITS = "\t\n:{}[]&*!|>%@`'\"#-?,~<=$\\\0\ufeff\u00e9\U0001f999 x0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is given to the loader: the text of a file and words of the command line."""

    text: str
    words: tuple[str, ...] = ()


@cache
def shipped_texts() -> tuple[str, ...]:
    """Every shipped recipe."""
    paths = (shipped_path(f"recipes/{name}.yaml") for name in shipped_names("recipes"))
    return tuple(path.read_text(encoding="utf-8") for path in paths if path is not None)


@cache
def _shipped_trees() -> tuple[Tree, ...]:
    return tuple(yaml.safe_load(text) for text in shipped_texts())


def wild(random: Random) -> Case:
    """Anything: a mutated tree, a mutated text, noise; now and then with words of the command line."""
    makers: tuple[Callable[[Random], str], ...] = (mutated_tree, mutated_tree, edited_text, spliced_text, noise)
    words = tuple(word(random) for _ in range(random.randrange(4))) if random.random() < 0.4 else ()
    return Case(text=random.choice(makers)(random), words=words)


def tame(random: Random) -> Case:
    """Readable keys with readable values, in any combination; of a known model on a known machine."""
    tree = deepcopy(random.choice(_shipped_trees()))
    kind = random.choice(("full", "lora", "qlora"))
    tree["method"] = {"kind": kind}
    tree["model"]["path"] = random.choice(catalogue.names())
    tree["hardware"] = random.choice((*profile_names(), "local"))
    keys = [key for key in all_keys().values() if _is_free(key, kind)]
    for key in random.sample(keys, random.randrange(12)):
        section = tree.setdefault(key.section, {}) if key.section else tree
        section[key.name] = readable(random, key)
    if random.random() < 0.1:
        mutate(random, tree)
    return Case(text=_dumped(tree))


def readable(random: Random, key: Key) -> Any:
    """A value that the key takes by itself; numbers of any size within its limits, small ones more often."""
    if key.path == "zero.preset":
        return random.choice((*preset_names(), "auto"))
    if key.auto and random.random() < 0.1:
        return "auto"
    if key.kind in ("choice", "choices"):
        return random.choice(key.choices) if key.kind == "choice" else [random.choice(key.choices)]
    if key.kind == "flag":
        return random.random() < 0.5
    if key.kind in ("number", "whole number"):
        return _number(random, key)
    if key.path == "method.target_modules":
        return random.choice(("all-linear", ["q_proj", "v_proj"], ["gate_proj"], ["lm_head"], ["embed_tokens"], ["no"]))
    if key.path == "method.modules_to_save":
        return random.choice(([], ["lm_head"], ["embed_tokens", "lm_head"], ["q_proj"], ["no"]))
    texts = ("x", "a b", "/mnt/nvme", "🦙", "q_proj", "<b>", "x" * 500)
    return [random.choice(texts)] if key.kind in ("texts", "mapping") else random.choice(texts)


def mutated_tree(random: Random) -> str:
    """A shipped recipe with a few values, keys and sections changed."""
    tree = deepcopy(random.choice(_shipped_trees()))
    for _ in range(random.randint(1, 6)):
        mutate(random, tree)
    return _dumped(tree)


def mutate(random: Random, tree: Tree) -> None:
    """One change somewhere in the tree."""
    holder = _some_section(random, tree)
    names = list(holder)
    name = random.choice(names) if names else "x"
    what = random.randrange(8)
    if what == 0:
        holder.pop(name, None)
    elif what == 1:
        holder[_typo(random, name)] = holder.pop(name, None)
    elif what == 2:
        holder[random.choice((*FOREIGN_NAMES, *sections(), "base", "<<", "1", "", "a.b"))] = odd(random)
    elif what == 3:
        key = random.choice(list(all_keys().values()))
        target = tree.get(key.section) if key.section else tree
        (target if isinstance(target, dict) else holder)[key.name] = odd(random)
    elif what == 4:
        key = random.choice(list(all_keys().values()))
        target = tree.setdefault(key.section, {}) if key.section else tree
        (target if isinstance(target, dict) else holder)[key.name] = readable(random, key)
    else:
        holder[name] = odd(random)


def odd(random: Random, depth: int = 0) -> Any:
    """A value of any type and size."""
    what = random.randrange(10)
    if what < 4:
        return random.choice(ODD_TEXTS)
    if what < 7:
        return random.choice(ODD_NUMBERS)
    if what == 7 and depth < 3:
        return [odd(random, depth + 1) for _ in range(random.randrange(4))]
    if what == 8 and depth < 3:
        return {str(odd(random, 3)): odd(random, depth + 1) for _ in range(random.randrange(4))}
    return _nested(random.choice((5, 40, 300)), random.random() < 0.5)


def edited_text(random: Random) -> str:
    """A shipped recipe with characters and lines lost, doubled, swapped or put in."""
    text = random.choice(shipped_texts())
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(text) + 1)
        to = min(len(text), at + random.choice((0, 1, 1, 3, 40)))
        instead = random.choice(("", random.choice(EDITS), random.choice(EDITS) * 50, text[at:to] * 2))
        text = text[:at] + instead + text[to:]
    return text


def spliced_text(random: Random) -> str:
    """Lines of two shipped recipes, anchors, aliases and merges among them."""
    lines = [line for _ in range(2) for line in random.choice(shipped_texts()).splitlines()]
    random.shuffle(lines)
    extras = ("x: &a [*a]", "y: &b {k: *b}", "<<: *a", "train: &t {<<: *t}", "---", "...", "? [a, b]\n: c", "%YAML 1.2")
    bomb = "\n".join(
        [f"b0: &b0 [{','.join('x' * 9)}]", *(f"b{i}: &b{i} [{','.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 10))]
    )
    lines[random.randrange(len(lines)) :] = [random.choice((*extras, bomb)), *lines[: random.randrange(1, 20)]]
    return "\n".join(lines)


def noise(random: Random) -> str:
    """Characters."""
    pool = EDITS + "abc019.: \n"
    return "".join(random.choice(pool) for _ in range(random.choice((0, 1, 5, 60, 400))))


def word(random: Random) -> str:
    """One `key=value` of the command line, or nearly."""
    key = random.choice((*all_keys(), "train", "a.b.c.d", "", "=", "+x", "base", "zero..stage", "x" * 2000))
    equals = random.choice(("=", "=", "=", "==", "", ": "))
    return f"{key}{equals}{random.choice((str(odd(random)), _dumped(odd(random)).strip(), noise(random)))}"


def _is_free(key: Key, kind: str) -> bool:
    if key.path in ("model.path", "method.kind", "zero.config", "hardware", "model.chat_template"):
        return False
    return key.section != "method" or applies(key.name, kind)


def _number(random: Random, key: Key) -> float:
    bounds = key.bounds
    low = bounds.least if bounds.least is not None else bounds.above or 0
    high = min(x for x in (bounds.most, bounds.below, 10**12) if x is not None)
    if key.kind == "whole number":
        top = random.choice((4, 64, 4096, 10**6, 10**12))
        return random.randint(int(low), max(int(low), min(int(high), top)))
    value = random.choice((low + 1e-6, high * 0.999, random.uniform(low, min(high, 1.0)), random.uniform(low, high)))
    return min(max(value, low), high)


def _some_section(random: Random, tree: Tree) -> Tree:
    inner = [value for value in tree.values() if isinstance(value, dict)]
    return random.choice([tree, *inner, *inner])


def _typo(random: Random, name: Any) -> str:
    text = str(name)
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(("", "_", "x", "é", " ")) + text[at + 1 :]


def _nested(depth: int, in_lists: bool) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if in_lists else {"a": value}
    return value


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes what the mutations made, equal parts out in full."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None)
