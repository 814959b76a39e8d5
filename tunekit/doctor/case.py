"""What the doctor judges: readings of the machine, the recipe's plan, preflight's faults, and what was tried. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tunekit.doctor.finding import Seen, blocks
from tunekit.doctor.readings import Readings
from tunekit.hardware.probing import Outcome
from tunekit.hardware.spec import Hardware
from tunekit.launcher.caller import Caller
from tunekit.launcher.environment import pins_exactly
from tunekit.launcher.ops import needed_ops
from tunekit.launcher.preflight import Check, Fault, Need
from tunekit.planner.plan import Plan

NO_GPU = "no GPU here"

Trial = Literal["cuda", "copies", "collectives", "pinned", "ops", "four_bit", "flash_attention", "drive", "rows"]
"""What is tried in processes of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a recipe has no plan: the check that says so, and the planner's words."""

    check: Literal["combinations", "model_config", "model_files", "ds_config"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One examination. `plan` is None without a recipe, and where the recipe was refused."""

    readings: Readings
    hardware: Hardware
    """This machine, as it would be planned for."""
    caller: Caller
    typed: str = "RECIPE"
    """The recipe and its overrides as they are typed behind a command."""
    plan: Plan | None = None
    refusal: Refusal | None = None
    faults: tuple[Fault, ...] = ()
    """Of preflight: what a launch would refuse."""
    needs: tuple[Need, ...] = ()
    trials: Mapping[Trial, Outcome] = field(default_factory=dict)

    @property
    def has_recipe(self) -> bool:
        """Whether a recipe was named, whatever became of it."""
        return self.plan is not None or self.refusal is not None

    @property
    def wants_cards(self) -> bool:
        """Whether the plan is for cards, be they here or not."""
        return self.plan is not None and self.plan.job.accelerator == "cuda"

    @property
    def on_cards(self) -> bool:
        """Whether cards train here: with a plan where it wants them, without one wherever there are any."""
        return bool(self.readings.cards.shown) and (self.plan is None or self.wants_cards)

    @property
    def ranks(self) -> int:
        """Processes that train."""
        return self.plan.job.batch.world_size if self.plan else self.hardware.world_size

    @property
    def ops(self) -> tuple[str, ...]:
        """DeepSpeed's ops that the plan needs; without one those that this machine could need."""
        if self.plan is not None:
            return needed_ops(self.plan.job, pins_exactly=pins_exactly(self.plan, self.caller))
        return ("cpu_adam",) if self.on_cards else ("deepspeed_shm_comm", "cpu_adam")

    @property
    def ops_to_build(self) -> tuple[str, ...]:
        """Those of them that are not built for this processor."""
        return tuple(op for op in self.ops if op not in self.readings.ops.built)

    def short(self, path: str) -> str:
        """A path as people type it: `~` for the home folder."""
        home = self.caller.environ.get("HOME", "").rstrip("/")
        return f"~{path.removeprefix(home)}" if home and path.startswith(f"{home}/") else path

    def refused(self, check: Check) -> Seen | None:
        """What preflight refuses about this, as a finding; None where it refuses nothing."""
        faults = [fault for fault in self.faults if fault.check == check]
        if not faults:
            return None
        cures = dict.fromkeys(fault.cure for fault in faults if fault.cure)
        return blocks("\n".join(fault.found for fault in faults), "; ".join(cures))

    def tried(self, name: Trial) -> Outcome | None:
        """What a trial found; None where it was not made."""
        return self.trials.get(name)
