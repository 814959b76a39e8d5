"""Writes recipes/README.md: `python -m tunekit.recipe.reference > recipes/README.md`. A test holds the page to it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

from tunekit.recipe.foreign_names import FOREIGN_NAMES
from tunekit.recipe.keys import Key, all_keys, sections
from tunekit.recipe.listing import listed_recipes
from tunekit.recipe.schema import Recipe

_INTRODUCTION = """\
# Recipes

A recipe is one fine-tuning job in one YAML file. Every file here is named `model_method.yaml` and starts with two
lines: what it is for, and what it needs. A test plans each of them on its hardware and asserts the verdict written
in it.

```console
tunekit recipes                                  # this list
tunekit recipes show codellama34b_qlora          # print one
tunekit recipes copy codellama34b_qlora my.yaml  # start your own; an existing file is never overwritten
tunekit plan my.yaml train.max_seq_length=1024   # what would happen, with one value changed
tunekit launch my.yaml                           # run it
```
"""
_COMPOSING = """\
## Building on another recipe

```yaml
base: llama2_7b_lora            # a shipped name, or a file beside this one; a list is read from left to right
method:
  kind: qlora                   # sections merge key by key; lists and single values are replaced
output:
  dir: runs/${method.kind}_test # the value of another key
```

- The command line stands over the recipe, the recipe over its bases. There, `key=` or
  `key=null` takes away what a lower layer says of a key: its default holds.
- Choosing another `method.kind` sets aside the adapter keys of a lower layer that the new method does not have.
  Choosing `zero.preset`, `zero.config` or `zero.stage` sets aside the others and, for a preset or a file, the offloads
  of a lower layer.
- `???` in a base must be filled in by whoever builds on it. `${oc.env:NAME}` reads the environment; `\\${` is a plain
  `${`.
- `1e-4` is a number. `1.10`, `no` and `on` are not text in YAML: quote them where a text belongs. On the command line a
  text key takes what you type: `model.revision=1.10`.
- Every fault is reported at once, as `file:line: key: what was found; what is allowed; what to type`, with exit code 2.

## Completion in your editor

```console
tunekit recipes schema > recipe.schema.json
```

and in the first line of a recipe (VS Code with the YAML extension, Neovim or any editor with yaml-language-server):

```yaml
# yaml-language-server: $schema=recipe.schema.json
```
"""
_KEYS = """\
## Every key

A key that takes `auto` may be left out or written `auto`: the planner answers it, and `tunekit plan` shows why.
A key that takes `off` is a limit that can be turned off.
Sizes of ZeRO buckets count elements, not bytes. Steps are optimizer steps. A row is one line of tokens.
"""


def readme() -> str:
    """The whole page: the shipped recipes, how recipes compose, every key."""
    return "\n".join((_INTRODUCTION, _recipes(), _COMPOSING, _KEYS, *_reference(), _foreign()))


def _recipes() -> str:
    rows = [
        (
            f"[{entry.name}]({entry.name}.yaml)",
            entry.model,
            entry.method,
            entry.zero,
            entry.hardware,
            entry.verdict,
            entry.purpose,
        )
        for entry in listed_recipes()
    ]
    return _table(("recipe", "model", "method", "ZeRO preset", "hardware", "verdict", "what it is for"), rows)


def _reference() -> Iterator[str]:
    top = [name for name in Recipe.model_fields if name not in sections()]
    for name, section in sections().items():
        keys = [key for key in all_keys().values() if key.section == name]
        yield f"### `{name}`\n\n{(section.__doc__ or '').strip()}\n\n{_key_table(keys)}"
    yield f"### Top level\n\n{_key_table([all_keys()[name] for name in top])}"


def _key_table(keys: Iterable[Key]) -> str:
    rows = [(f"`{key.name}`", key.allowed, _default(key), key.description) for key in keys]
    return _table(("key", "allowed", "default", "meaning"), rows)


def _default(key: Key) -> str:
    if key.required:
        return "required"
    return "not set" if key.nullable and key.default is None else f"`{key.standard}`"


def _foreign() -> str:
    rows = [(f"`{theirs}`", f"`{ours}`") for theirs, ours in sorted(FOREIGN_NAMES.items(), key=lambda pair: pair[1])]
    return f"## Names you may know from elsewhere\n\n{_table(('there', 'here'), rows)}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(readme())
