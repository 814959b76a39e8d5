"""The matrix has what was promised, each fault once, and the page shows all of it."""

from __future__ import annotations

from pathlib import Path

from tests.faults.fault import Fault, Outcome
from tests.faults.matrix import FAULTS, IN_SUITE, TYPED, find
from tests.faults.report import BEGIN, END, GROUPS, cell, written_into

PAGE = Path(__file__).parents[2] / "README.md"


def outcome(fault: Fault, *problems: str) -> Outcome:
    """One that was played."""
    return Outcome(
        name=fault.name,
        group=fault.group,
        code=fault.codes[0],
        seen="what was | said",
        after=fault.after,
        problems=problems,
        seconds=12.3,
        commit="abc1234",
        run="runs/fault",
    )


def test_sixty_faults_of_every_group_each_once() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 60
    assert {fault.group for fault in FAULTS} == set(GROUPS)


def test_the_suite_plays_one_of_four_groups() -> None:
    assert len({find(name).group for name in IN_SUITE}) == len(IN_SUITE) == 4


def test_those_that_go_on_by_the_users_command_are_there() -> None:
    assert {find(name).after for name in TYPED} == {"resumes", "starts anew"}


def test_every_signal_goes_to_every_part() -> None:
    names = [fault.name for fault in FAULTS]
    for number in ("SIGKILL", "SIGTERM", "SIGINT", "SIGSTOP"):
        for part in ("rank 0", "rank 1", "launch.py", "deepspeed", "tunekit", "tunekit and the whole run"):
            assert any(name.startswith(f"{number} to {part} in a step") for name in names), (number, part)


def test_the_page_shows_every_fault_of_the_matrix() -> None:
    page = PAGE.read_text()
    shown = page[page.index(BEGIN) : page.index(END)]
    assert [fault.name for fault in FAULTS if cell(fault.name) not in shown] == [], "play it, and run --table"


def test_a_lost_fault_is_told() -> None:
    page = written_into(f"before\n{BEGIN}old{END}\nafter", [outcome(FAULTS[0]), outcome(FAULTS[1], "it went wrong")])
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter")
    assert "**2 faults, 1 held, 1 lost.**" in page
    assert f"- {FAULTS[1].name}: it went wrong" in page
    assert "what was \\| said" in page
    assert "old" not in page
