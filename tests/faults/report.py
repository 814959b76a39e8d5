"""The matrix as tables in tests/README.md, between two marks."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from tests.faults.fault import Outcome

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "deepspeed")
GROUPS = {
    "signals": "Signals",
    "saves": "Kills at the files of a save",
    "checkpoints": "Broken checkpoints",
    "machine": "The machine",
    "inputs": "Data, weights, ports, folders, clock",
}
LONGEST = 150


def written_into(page: str, outcomes: Sequence[Outcome]) -> str:
    """The page with these tables between the marks. ValueError: the marks are not there."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if END not in page:
        raise ValueError(f"the page lacks {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{tables(outcomes)}\n{END}{after}"


def tables(outcomes: Sequence[Outcome]) -> str:
    """A summary, a table per group, and the rows of those that are many."""
    commits = ", ".join(dict.fromkeys(outcome.commit for outcome in outcomes if outcome.seconds))
    played = [outcome for outcome in outcomes if outcome.seconds]
    lost = [outcome for outcome in played if outcome.problems]
    missing = [outcome.name for outcome in outcomes if not outcome.seconds]
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commits}, {platform.python_version()} on {machine()}; {versions()}.",
        "",
        f"**{len(played)} faults, {len(played) - len(lost)} held, {len(lost)} lost.**",
    ]
    lines += ["", f"Not played this time: {'; '.join(missing)}."] if missing else []
    for group, title in GROUPS.items():
        mine = [outcome for outcome in played if outcome.group == group]
        lines += ["", f"### {title}", "", *table(mine)] if mine else []
    for outcome in outcomes:
        lines += ["", f"### {outcome.name}", "", *boundaries(outcome)] if outcome.rows else []
    if lost:
        lines += ["", "### Lost", "", *(f"- {outcome.name}: {told(outcome)}" for outcome in lost)]
    return "\n".join(lines)


def table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """One row per fault."""
    yield "| fault | exit | the user sees | then | held | s |"
    yield "|---|--:|---|---|---|--:|"
    for outcome in outcomes:
        held = "no" if outcome.problems else "yes"
        cells = (outcome.name, str(outcome.code), outcome.seen, outcome.after, held, f"{outcome.seconds:.0f}")
        yield "| " + " | ".join(map(cell, cells)) + " |"


def boundaries(outcome: Outcome) -> Iterator[str]:
    """One row per change of the disk."""
    yield "| # | killed before | goes on from | end |"
    yield "|--:|---|---|---|"
    for number, row in enumerate(outcome.rows, start=1):
        yield "| " + " | ".join(map(cell, (str(number), *row))) + " |"


def cell(text: str) -> str:
    """A text that fits into a table."""
    plain = " ".join(text.split()).replace("|", "\\|")
    return plain if len(plain) <= LONGEST else plain[:LONGEST] + " …"


def told(outcome: Outcome) -> str:
    """What went wrong, on one line."""
    return cell("; ".join(outcome.problems))


def versions() -> str:
    """Of what trains."""
    return ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def machine() -> str:
    """The kernel and the processor's kind."""
    return f"Linux {platform.release().split('-')[0]}, {platform.machine()}"
