"""`recipes/RULES.md`: the rules with their reasons, for those who write recipes and DeepSpeed files."""

from __future__ import annotations

import sys

from contract.rules.meeting import Refused, Rejected, Warned
from contract.rules.table import GROUPS, TABLE, Rule

_HEAD = """\
# What tunekit refuses or warns about, and why

Combinations that fail late, are ignored without a word, or train something else than what was asked for. tunekit says
so before anything is started: a recipe and a DeepSpeed JSON of your own (`zero.config`) are held against all of these,
whether you `plan`, `launch` or `fit`.
Versions: DeepSpeed 0.19.8, transformers 5.23, TRL 1.16, PEFT 0.21, bitsandbytes 0.50.

*shown*: a test lets the real libraries fail, so that the rule goes when a library is repaired.
This page is made from the table that is tested: `tests/contract/rules/table.py`.
"""
_DOES = {Refused: "refused", Rejected: "rejected by its memory", Warned: "warned"}


def rules_page() -> str:
    """The page."""
    parts = [_HEAD]
    for title, rules in GROUPS.items():
        parts.append(f"\n## {title}\n\n| what | | why | instead |\n|---|---|---|---|\n")
        parts += [_row(rule) for rule in rules]
    unshown = [rule for rule in TABLE if rule.cuda]
    parts.append("\n## Not shown without a card\n\n")
    parts += [f"- {rule.what}: {rule.cuda}.\n" for rule in unshown]
    return "".join(parts)


def _row(rule: Rule) -> str:
    does = dict.fromkeys(_DOES[type(met)] for met in rule.met if type(met) in _DOES)
    said = ", ".join(does) or "cannot be said"
    return f"| {rule.what} | {said}{'; *shown*' if rule.shown else ''} | {rule.why} | {rule.instead} |\n"


if __name__ == "__main__":
    sys.stdout.write(rules_page())
