"""The live view of a run: a spinner while it prepares, then a bar with loss, speed and memory against the plan.

On a terminal it stays in place; elsewhere it is one plain line every few seconds.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunekit.launcher.json_lines import JsonLines
from tunekit.launcher.progress import Progress, fold
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.render.machine_lines import machine_lines
from tunekit.units import format_bytes, format_seconds

PLAIN_SECONDS = 5.0
"""Least time between two plain lines, but for the first and the last step and a new phase."""
JOINING = ("start", "process group")
JOIN_SECONDS = 180.0
"""Seconds after which ranks that have not met are worth a word; the imports take 10 s, on a slow disk a minute."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TURNS_PER_SECOND = 4
_WIDTH = 24
_BAR = 40

PHASE_WORDS = {
    "start": "starting the ranks",
    "process group": "joining the process group",
    "data": "reading the data",
    "model": "loading the model",
    "adapters": "adding the adapters",
    "trainer": "building the trainer",
    "engine": "starting the DeepSpeed engine",
    "rehearsal": "rehearsing: a full step, an evaluation batch and a save, which are undone",
    "samples before": "answering the sample questions before training",
    "train": "training",
    "eval": "evaluating",
    "save": "saving the result",
    "verify": "verifying the result",
    "samples after": "answering the sample questions after training",
    "stopped": "stopped",
    "done": "done",
}


class LiveView:
    """Shows one attempt. Call `report` while it is prepared and `update` while it runs; both are cheap."""

    def __init__(
        self, run_dir: RunDir, plan: Plan, console: Console, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.progress = Progress()
        self._plan = plan
        self._console = console
        self._clock = clock
        self._sources = [JsonLines(run_dir.events), JsonLines(run_dir.metrics)]
        self._began = self._phase_began = clock()
        self._activity = ""
        self._shown_notes = 0
        self._last_line = 0.0
        self._interrupted = self._said_who_waits = False
        self._name = shlex.quote(str(run_dir.path))
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, refresh_per_second=TURNS_PER_SECOND, transient=True, get_renderable=self._frame
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def report(self, activity: str) -> None:
        """What the launcher does before the ranks report for themselves."""
        heading = activity.partition(": ")[0]
        if heading != self._activity.partition(": ")[0]:
            self._phase_began = self._clock()
            self._say(f"{heading} …")
        elif activity != self._activity and self._clock() - self._last_line >= PLAIN_SECONDS:
            self._say(activity.partition(": ")[2])
        self._activity = activity

    def interrupt(self, text: str) -> None:
        """Show `text` instead of the bar from now on."""
        self._interrupted = True
        self._activity = text
        self._phase_began = self._clock()
        self._say(text)

    def update(self) -> None:
        """Read what the worker has written since the last call, and show it."""
        before = self.progress
        records = [record for source in self._sources for record in source.new()]
        self.progress = fold(self.progress, sorted(records, key=lambda record: record.get("time", 0.0)))
        self._print_notes()
        if self.progress.step != before.step:
            self._say_step()
        if self.progress.phase != before.phase and not self._interrupted:
            self.report(PHASE_WORDS.get(self.progress.phase, self.progress.phase))
        self._say_who_waits()

    def _say_who_waits(self) -> None:
        """Ranks that wait for one that hangs would do so in silence for two hours."""
        late = self._clock() - self._phase_began > JOIN_SECONDS
        if late and self.progress.phase in JOINING and not self._said_who_waits:
            self._said_who_waits = True
            self._print(Text(f"not all ranks are there yet; `tunekit logs {self._name} --rank 1` shows what one does"))

    def _print_notes(self) -> None:
        for note in self.progress.notes[self._shown_notes :]:
            style = "yellow" if note.startswith(("warning", "stopping")) else "dim"
            self._print(Text(note, style=style))
        self._shown_notes = len(self.progress.notes)

    def _say(self, text: str) -> None:
        """A plain line, where there is no terminal."""
        if self._live is None:
            self._last_line = self._clock()
            elapsed = format_seconds(self._clock() - self._began)
            self._print(Text(f"[{elapsed:>5}] {text}"))

    def _print(self, line: Text) -> None:
        """A closed pipe or a full disk behind the output ends no run, which goes on unseen."""
        with suppress(OSError, SystemExit):  # rich ends the program when its pipe is closed
            self._console.print(line, soft_wrap=True)

    def _say_step(self) -> None:
        due = self._clock() - self._last_line >= PLAIN_SECONDS
        if due or self.progress.step in (1, self.progress.max_steps):
            self._say(step_line(self.progress, self._plan))

    def _frame(self) -> RenderableType:
        elapsed = self._clock() - self._phase_began
        if self._interrupted or self.progress.phase != "train" or not self.progress.losses:
            return waiting_frame(self._activity or "starting", elapsed)
        return training_frame(self.progress, self._plan)


def waiting_frame(activity: str, elapsed: float) -> RenderableType:
    """A spinner with what is being done and for how long, on one line."""
    turn = _SPINNER[int(elapsed * TURNS_PER_SECOND) % len(_SPINNER)]
    return Text(f"{turn} {activity} … {format_seconds(elapsed)}", overflow="ellipsis", no_wrap=True)


def training_frame(progress: Progress, plan: Plan) -> RenderableType:
    """The bar, which gives way where the terminal is narrow, and under it loss, speed and memory."""
    row = Table.grid(padding=(0, 1))
    row.add_column(no_wrap=True)
    row.add_column(max_width=_BAR)
    row.add_column(no_wrap=True)
    row.add_column(no_wrap=True)
    bar = ProgressBar(total=progress.max_steps or 1, completed=progress.step)
    row.add_row(Text("training"), bar, Text(f"{progress.step}/{progress.max_steps or '?'} steps"), _left(progress))
    lines = ["   ".join([loss_text(progress, width=_WIDTH), *_facts(progress, plan)]), *machine_lines(progress, plan)]
    return Group(row, *(Text("  " + line, overflow="ellipsis", no_wrap=True) for line in lines))


def step_line(progress: Progress, plan: Plan) -> str:
    """The same as one line of text."""
    parts = [f"step {progress.step}/{progress.max_steps or '?'}", loss_text(progress, width=0)]
    left = progress.seconds_left
    parts += [f"{format_seconds(left)} left"] if left is not None else []
    return "  ".join([*parts, *_facts(progress, plan)])


def loss_text(progress: Progress, *, width: int) -> str:
    """The last loss, and the course of the last `width` losses as a small curve."""
    curve = sparkline(progress.losses[-width:]) if width else ""
    return f"loss {progress.losses[-1]:.4f} {curve}".rstrip()


def sparkline(values: tuple[float, ...]) -> str:
    """One block per value, from the lowest to the highest; a value that is not a number is a `!`."""
    finite = [value for value in values if value - value == 0]
    if not finite:
        return "!" * len(values)
    low, span = min(finite), max(finite) - min(finite)
    top = len(_BLOCKS) - 1
    return "".join(
        _BLOCKS[round((value - low) / span * top) if span else top // 2] if value - value == 0 else "!"
        for value in values
    )


def _left(progress: Progress) -> Text:
    left = progress.seconds_left
    return Text("" if left is None else f"{format_seconds(left)} left", style="dim")


def _facts(progress: Progress, plan: Plan) -> list[str]:
    """Speed and memory; memory beside what the plan expects of it."""
    facts = []
    if progress.tokens_per_second:
        facts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if progress.eval_loss is not None:
        facts.append(f"eval loss {progress.eval_loss:.4f}")
    places = (("GPU", progress.gpu_bytes, plan.memory.device), ("host", progress.host_bytes, plan.memory.host))
    for place, used, estimate in places:
        if used:
            facts.append(f"{place} {format_bytes(used)} of {format_bytes(estimate.expected_bytes)} planned")
    return facts
