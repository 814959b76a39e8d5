"""What all faults share: a model, data and a recipe as a user has them, and one run that nobody disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.integration import tiny
from tunekit.launcher.json_lines import read_lines
from tunekit.launcher.run_dir import RunDir

RECIPE, MODEL, DATA = "fault.yaml", "model", "rows.jsonl"
REFERENCE = "undisturbed"
STEPS, SAVE_STEPS = 8, 2
ROWS = 512
"""Enough for eight steps, and for an evaluation that takes a moment."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folder in which the commands are typed."""

    folder: Path

    @property
    def gate(self) -> Path:
        """gate.c, compiled."""
        return self.folder / "gate.so"

    @property
    def reference(self) -> RunDir:
        """The run that nobody disturbed."""
        return RunDir(self.folder / "runs" / REFERENCE)

    def environment(self) -> dict[str, str]:
        """Of every command: caches of its own, so that a fault spoils nothing of the user's."""
        own = {"HF_HOME": "hf", "XDG_CONFIG_HOME": "config"}
        return tiny.environment(**{name: str(self.folder / folder) for name, folder in own.items()})

    def event_number(self, phase: str) -> int:
        """Which of rank 0's events says that this phase begins, counted from 1."""
        events = read_lines(self.reference.events)
        return next(number for number, event in enumerate(events, start=1) if event.get("phase") == phase)


def make_place(folder: Path) -> Place:
    """Build what is not there yet; 40 s on two cores. AssertionError: the undisturbed run failed."""
    place = Place(folder=folder.absolute())
    if place.reference.success.exists():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_name("gate.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", place.gate, source, "-ldl", "-lpthread"], check=True)
    tiny.write_model(place.folder / MODEL)
    tiny.write_data(place.folder / DATA, count=ROWS)
    (place.folder / RECIPE).write_text(yaml.safe_dump(recipe(place.folder)))
    argv = [sys.executable, "-m", "tunekit", "launch", RECIPE, f"output.dir={place.reference.path}"]
    done = subprocess.run(argv, cwd=place.folder, env=place.environment(), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def recipe(folder: Path) -> dict[str, Any]:
    """LoRA under ZeRO-2 with dropout, so that the loss depends on every random state that a checkpoint holds."""
    return tiny.recipe(
        Path(MODEL),
        Path(DATA),
        Path("runs") / "fault",
        method={"kind": "lora", "dropout": 0.1},
        train={"max_steps": STEPS, "warmup_ratio": 0.1},
        data={"eval_fraction": 0.5},
        output={"save_steps": SAVE_STEPS},
    )


def losses(run: RunDir) -> dict[int, float]:
    """The loss of every step, over all attempts; of a step that was done again, the later one."""
    attempts = sorted(run.path.glob("attempt_*"), key=lambda path: int(path.name.removeprefix("attempt_")))
    folders = (*attempts, run.path)
    records = [record for folder in folders for record in read_lines(RunDir(folder).metrics) if "loss" in record]
    return {record["step"]: record["loss"] for record in records}


def endings(run: RunDir) -> tuple[float, float]:
    """Last loss and loss on the held-out rows, of a run that is done."""
    record = json.loads(run.success.read_text())
    return float(record["loss_last"]), float(record["eval_loss"])


def slug(name: str) -> str:
    """A folder's name from a fault's."""
    return "".join(letter if letter.isalnum() else "_" for letter in name).strip("_")


def is_root() -> bool:
    """Whether file systems may be mounted and memory groups made."""
    return os.geteuid() == 0


def commit() -> str:
    """The last commit that changed the product; a plus where files of it have changed since."""
    last = _git("log", "-1", "--format=%h", "--", "tunekit")
    return last + "+" * bool(_git("status", "--porcelain", "--", "tunekit"))


def _git(*words: str) -> str:
    root = Path(__file__).parents[2]
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
