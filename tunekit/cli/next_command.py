"""What to type next: the last line of a plan, of a rejected launch and of a dry run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tunekit.cli.wrapping import wrapped
from tunekit.planner.plan import Plan
from tunekit.recipe.overrides import retyped

if TYPE_CHECKING:
    from tunekit.render.pages.parts import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What the user typed behind `tunekit plan` or `tunekit launch`."""

    recipe: str
    overrides: tuple[str, ...] = ()
    on: str | None = None
    trust: str = "both"
    master_port: int | None = None
    on_oom: str = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What comes after a plan or a search: what stands in the way, what was done, and the command to type, if any."""

    said: tuple[str, ...] = ()
    done: str = ""
    word: str = "Next"
    typed: str = ""

    def text(self, columns: int) -> str:
        """The last lines of the printout, after a blank one: what is said as wide as the plan, the command in one."""
        last = " ".join(each for each in (self.done, f"{self.word}: {self.typed}" if self.typed else "") if each)
        return "".join(f"\n{wrapped(each, columns)}\n" for each in self.said) + f"\n{last}"

    @property
    def sections(self) -> tuple[Section, ...]:
        """The same on a page, with the command to copy; nothing where there is nothing to do."""
        from tunekit.render.pages.parts import next_section

        if not (self.said or self.typed):
            return ()
        word = f"{self.word}:" if self.word != "Next" else ""
        lines = "\n".join(each for each in (*self.said, self.done, word) if each).splitlines()
        return (next_section(tuple(lines), self.typed),)


def command(verb: Literal["plan", "launch", "doctor"], typed: Typed) -> str:
    """The words as they are typed in a shell."""
    words = ["tunekit", verb, typed.recipe, *typed.overrides]
    words += ["--on", typed.on] if typed.on else []
    words += ["--trust", typed.trust] if typed.trust != "both" else []
    words += ["--master-port", str(typed.master_port)] if verb == "launch" and typed.master_port is not None else []
    words += ["--on-oom", typed.on_oom] if verb == "launch" and typed.on_oom != "stop" else []
    return shlex.join(words)


def after_rejection(plan: Plan, typed: Typed) -> str:
    """What to try next: launch with the first fix that is enough here, plan on another machine, or look closer."""
    fix = first_fix(plan)
    if not fix:
        return f"{command('plan', typed)} --explain"
    elsewhere = any(word.startswith("hardware=") for word in fix)
    return command("plan" if elsewhere else "launch", with_fix(typed, fix))


def with_fix(typed: Typed, fix: list[str]) -> Typed:
    """The same words with a fix in the place of what it changes."""
    machine = next((word.removeprefix("hardware=") for word in fix if word.startswith("hardware=")), None)
    words = retyped(typed.overrides, fix)
    kept = tuple(word for word in words if machine is None or not word.startswith("hardware="))
    return replace(typed, overrides=kept, on=machine or typed.on)


def first_fix(plan: Plan) -> list[str]:
    """The words of the first fix that is enough: one for this machine where there is one, else another machine."""
    enough = [shlex.split(fix.set) for fix in plan.fixes if fix.verdict != "rejected"]
    here = [words for words in enough if not any(word.startswith("hardware=") for word in words)]
    return (here or enough or [[]])[0]
