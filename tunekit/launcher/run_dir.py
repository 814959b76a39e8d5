"""The files of a run, by name. Nothing else in tunekit spells these names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

RUNS = Path("runs")
"""Where runs lie unless a recipe or a command says otherwise, seen from the current folder."""


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run directory. The latest attempt's files lie at the top; earlier attempts in `attempt_1`, `attempt_2`, …"""

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe as it was given, overrides appended as comments."""
        return self.path / "recipe.yaml"

    @property
    def resolved_recipe(self) -> Path:
        """What is run, as a recipe: every answer of the plan written out, no `auto`."""
        return self.path / "recipe.resolved.yaml"

    @property
    def plan(self) -> Path:
        """The plan that is run."""
        return self.path / "plan.json"

    @property
    def ds_config(self) -> Path:
        """DeepSpeed's JSON, without any `auto`."""
        return self.path / "ds_config.json"

    @property
    def launch(self) -> Path:
        """argv, environment and versions of the attempt."""
        return self.path / "launch.json"

    @property
    def launch_script(self) -> Path:
        """The same as a shell script, to rerun by hand."""
        return self.path / "launch.sh"

    @property
    def logs(self) -> Path:
        """Folder of `rank_K.log` and `launcher.log`."""
        return self.path / "logs"

    def rank_log(self, rank: int) -> Path:
        """Standard output and error of one rank."""
        return self.logs / f"rank_{rank}.log"

    def rank_stacks(self, rank: int) -> Path:
        """Touched by the rank at every step, so that its age tells silence; filled when its stack is asked for."""
        return self.logs / f"rank_{rank}.stacks"

    @property
    def launcher_log(self) -> Path:
        """Standard output and error of the deepspeed command."""
        return self.logs / "launcher.log"

    @property
    def metrics(self) -> Path:
        """One JSON object per logged step."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """One JSON object per event of the worker: phase changes, derived values, data warnings."""
        return self.path / "events.jsonl"

    @property
    def failure(self) -> Path:
        """What the first failing rank said."""
        return self.path / "failure.json"

    @property
    def measured(self) -> Path:
        """Measured peaks per rank and phase; written with the success marker."""
        return self.path / "measured.json"

    @property
    def success(self) -> Path:
        """The success marker: exists only when the worker finished and its result was verified."""
        return self.path / "success.json"

    @property
    def stop_request(self) -> Path:
        """When this file appears the ranks save a checkpoint (where one is due) and end together."""
        return self.path / "stop.request"

    @property
    def process(self) -> Path:
        """Process id, start time and number of the attempt that was started last."""
        return self.path / "process.json"

    @property
    def result(self) -> Path:
        """How the attempt ended, written by whoever saw its end."""
        return self.path / "result.json"

    @property
    def prepare_log(self) -> Path:
        """Output of the preparation process."""
        return self.logs / "prepare.log"

    @property
    def checkpoints(self) -> Path:
        """Folder of `checkpoint-STEP` folders."""
        return self.path / "checkpoints"

    @property
    def rehearsal(self) -> Path:
        """What the rehearsal saves, and removes when it has."""
        return self.path / ".rehearsal"

    @property
    def converted(self) -> Path:
        """A checkpoint made to fit another number of ranks or another stage; gone after the first step."""
        return self.path / ".converted"

    @property
    def final(self) -> Path:
        """The trained adapter or model with its tokenizer."""
        return self.path / "final"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard event files."""
        return self.path / "tensorboard"

    def attempt(self, number: int) -> Path:
        """Folder of an earlier attempt, counted from 1."""
        return self.path / f"attempt_{number}"


def run_dir_at(path: str) -> RunDir:
    """The run directory that a recipe names, seen from the current folder; `~` is the home."""
    return RunDir(Path(os.path.expanduser(path)).absolute())
