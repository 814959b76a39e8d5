"""A trial: a model of real widths and few layers, a method, a batch; and the plan that tunekit makes of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunekit.hardware.spec import Hardware
from tunekit.model_shape import catalogue
from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.planner.resolve import resolve
from tunekit.recipe.loading import load_recipe
from tunekit.recipe.schema import Recipe

STEPS = 3
"""Moments of the optimizer exist from the second step on, and nothing new comes after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is run. `model` is a name of the catalogue, cut to `layers`; `zero` are keys of the recipe's section."""

    model: str
    layers: int
    method: str
    zero: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({"preset": "z0"}))
    length: int = 1024
    micro: int = 1
    accumulate: int = 1
    checkpointing: bool = True
    attention: str = "sdpa"
    optimizer: str = "adamw"
    loss: str = "chunked"
    packing: bool = True
    rank: int = 16
    processes: int = 1
    evaluates: bool = False
    saves: bool = False
    limit_gb: int | None = None
    """The card that is played, in GB as vendors count; None for the whole card."""

    @property
    def name(self) -> str:
        """Short, and the same for the same case: what rows are found again by."""
        short = self.model.rpartition("/")[2].lower()
        zero = "_".join(str(value) for value in self.zero.values() if "/" not in str(value))
        words = [short, f"{self.layers}l", self.method, zero, f"{self.length}x{self.micro}", self.attention]
        words += [self.optimizer, self.loss, "recompute" if self.checkpointing else "keep"]
        words += ["" if self.packing else "padded", f"acc{self.accumulate}" if self.accumulate > 1 else ""]
        words += ["" if self.rank == 16 else f"r{self.rank}", f"{self.processes}p" if self.processes > 1 else ""]
        words += ["eval" if self.evaluates else "", "saves" if self.saves else ""]
        words += [f"{self.limit_gb}gb" if self.limit_gb else ""]
        return "-".join(word for word in words if word)

    @property
    def config(self) -> dict[str, Any]:
        """config.json of the cut model."""
        known = catalogue.config_of(self.model)
        if known is None:
            raise KeyError(f"{self.model} is not in the catalogue; near: {', '.join(catalogue.nearest(self.model))}")
        tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
        return {**known, **tokens, "num_hidden_layers": self.layers}

    @property
    def shape(self) -> ModelShape:
        """The shape that the planner reads from that file."""
        return shape_from_config(self.config, name=f"{self.model}, {self.layers} layers", source="benchmarks")


def recipe_of(case: Case, *, model: Path, data: Path, run: Path, nvme: Path) -> dict[str, Any]:
    """The recipe as a user would write it, every choice made."""
    adapter = {} if case.method == "full" else {"rank": case.rank, "alpha": 2 * case.rank}
    zero = {**case.zero, **({"nvme_path": str(nvme)} if "nvme" in str(case.zero.get("preset")) else {})}
    return {
        "model": {"path": str(model), "attention": case.attention},
        "method": {"kind": case.method, **adapter},
        "zero": zero,
        "data": {"path": str(data), "packing": case.packing, "eval_fraction": 0.25 if case.evaluates else 0.0},
        "train": {
            "max_seq_length": case.length,
            "micro_batch_size": case.micro,
            "gradient_accumulation_steps": case.accumulate,
            "max_steps": STEPS,
            "learning_rate": 1e-5,
            "activation_checkpointing": case.checkpointing,
            "loss": case.loss,
            "optimizer": case.optimizer,
        },
        "output": {"dir": str(run), **({"save_steps": STEPS} if case.saves else {})},
        "tracking": [],
    }


def plan_of(case: Case, hardware: Hardware, *, folder: Path = Path("trial")) -> Plan:
    """What tunekit says of the case on a machine; a rejected plan is returned too."""
    return make_plan(_recipe(case, folder), case.shape, hardware)


def _recipe(case: Case, folder: Path) -> Recipe:
    paths = {"model": folder / "model", "data": folder / "rows.jsonl", "run": folder / "run", "nvme": folder / "nvme"}
    return load_recipe(recipe_of(case, **paths)).recipe


def machine_for(case: Case, here: Hardware) -> Hardware:
    """This machine with as many cards or processes as the case has; a limited card may be filled to 23.5 of 24 GB.

    Figures calibrated on this machine are left out: the plan shall be what a machine without any would get.
    """
    if not here.gpus:
        return replace(here, cpu_processes=case.processes, calibration=None)
    cards = here.gpus[: case.processes]
    if case.limit_gb is not None:
        usable = round(case.limit_gb * 2**30 * 23.5 / 24)
        cards = tuple(replace(card, usable_bytes=min(usable, card.usable_bytes)) for card in cards)
    return replace(here, gpus=cards, calibration=None)


def boundary(case: Case, here: Hardware, *, most: int = 512) -> tuple[Case, ...]:
    """The case with the most rows at a time that is called `fits`, and with the fewest that is called `rejected`.

    Memory never falls when a batch grows, so both are found by halving. A case that is not there is left out.
    """
    verdict = cache(lambda micro: _verdict(replace(case, micro=micro), here))
    no_fit = bisect_left(range(1, most + 1), True, key=lambda micro: verdict(micro) != "fits") + 1
    rejected = bisect_left(range(1, most + 1), True, key=lambda micro: verdict(micro) == "rejected") + 1
    sizes = ((no_fit - 1, no_fit > 1), (rejected, rejected <= most))
    return tuple(replace(case, micro=micro) for micro, exists in sizes if exists)


def _verdict(case: Case, here: Hardware) -> str:
    # Not the whole plan: fixes are not asked for, and finding them takes a hundred times as long.
    found = resolve(_recipe(case, Path("trial")), case.shape, machine_for(case, here), "model")
    return found.trial.judgement.verdict
