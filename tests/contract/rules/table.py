"""Every combination that is known to fail, be ignored or surprise, and how tunekit meets it; `RULES.md` is made of it.

`pain` and `stack` are the numbers of the two surveys that it was built from: 60 combinations and 23. `shown` names
cases of `reproduced.py`, where the real libraries show the failure; `cuda` says why a case needs a card to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from contract.rules.looped import LOOPED
from contract.rules.placed import PLACED
from contract.rules.precise import PRECISE
from contract.rules.quantised import QUANTISED
from contract.rules.rule import Rule
from contract.rules.stepped import STEPPED

GROUPS: Mapping[str, tuple[Rule, ...]] = {
    "Quantised bases": QUANTISED,
    "Where things rest": PLACED,
    "Precision": PRECISE,
    "Optimizers and schedules": STEPPED,
    "The training loop": LOOPED,
}
TABLE = tuple(rule for rules in GROUPS.values() for rule in rules)
