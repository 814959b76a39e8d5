"""What watching a run costs: seconds of one core per look, part by part, and their share of the time between two looks.

    python benchmarks/watch_cost.py [--cards 2] [--looks 200] [--step-seconds 1.0]

All looking is done by the launcher, on a core that no rank has to wait for; the share is what it would take from the
ranks on a machine without a spare core, divided by the cores. The cards are NVML's own where there are any, else fakes,
which cost what the library around the driver's answers costs. With cards, steps of a matrix product are timed with and
without a watcher beside them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.fake_nvml import Card, FakeNvml  # noqa: E402
from tests.plans import CPU_BOX, DUAL_4090, make_plan, make_recipe  # noqa: E402
from tests.runs import steps, write_lines, write_run  # noqa: E402
from tunekit.backends.board import Board  # noqa: E402
from tunekit.backends.watching import MEMORY_SECONDS, Watcher, append  # noqa: E402
from tunekit.launcher.progress import Progress, fold  # noqa: E402
from tunekit.launcher.run_dir import RunDir  # noqa: E402
from tunekit.planner.plan import Plan  # noqa: E402
from tunekit.probes.gpus import read_gpus  # noqa: E402
from tunekit.probes.sampling import Sampler  # noqa: E402
from tunekit.watch.rules import Limits, find  # noqa: E402

POLL_SECONDS = 0.25
ALLOWED_PERCENT = 0.5


def cpu_seconds(work: Callable[[], object], count: int) -> float:
    """Seconds of a core that one call takes, all threads counted."""
    work()
    before = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - before) / count


class Place:
    """A run as a watcher sees it after 200 steps, its checkpoint saved."""

    def __init__(self, folder: Path, cards: int) -> None:
        self.real = read_gpus().gpus
        count = len(self.real) or cards
        nvml = None if self.real else FakeNvml(tuple(Card(uuid=f"GPU-{index}") for index in range(count)))
        self.plan: Plan = make_plan(DUAL_4090 if count else CPU_BOX, recipe=make_recipe())
        self.run_dir: RunDir = write_run(folder / "run", self.plan)
        write_lines(self.run_dir.metrics, steps(*([2.0] * 200), max_steps=1000))
        checkpoint = self.run_dir.checkpoints / "checkpoint-200" / "global_step200"
        checkpoint.mkdir(parents=True)
        for rank in range(2):
            (checkpoint / f"rank_{rank}.pt").write_bytes(b"x" * 1000)
            self.run_dir.rank_stacks(rank).touch()
            self.run_dir.rank_log(rank).touch()
        self.sampler = Sampler(range(count), {"output": self.run_dir.path}, nvml)
        self.board = Board(self.run_dir.tensorboard)
        self.now = 0.0

    def watcher(self) -> Watcher:
        """A watcher whose clock is moved by hand."""
        return Watcher(
            self.plan,
            self.run_dir,
            self.sampler,
            pids=dict,
            say=lambda finding, progress: None,
            board=self.board,
            clock=lambda: self.now,
        )


def rows(place: Place, looks: int) -> list[tuple[str, float, float]]:
    """Part, seconds of a core each, and how many there are per second of a run."""
    watch = place.plan.recipe.watch
    every = watch.every_seconds or 5.0
    sample = place.sampler.look()
    watcher = place.watcher()
    records = [{"step": 201, "loss": 2.0, "seconds": 1.0, "time": 1.0}]

    def whole_look() -> None:
        place.now += every
        watcher.tick()

    parts = [
        ("cards, RAM, drives", place.sampler.look, 1 / every),
        ("rules", lambda: find(sample, Limits(watch=watch, link=place.plan.hardware.link)), 1 / every),
        ("metrics.jsonl", lambda: append(place.run_dir.path / "scratch.jsonl", sample.record()), 1 / every),
        ("TensorBoard", lambda: place.board.write(sample), 1 / every),
        ("steps that were logged", lambda: fold(Progress(), records), 1 / every),
    ]
    found = [(name, cpu_seconds(work, looks), rate) for name, work, rate in parts]
    found.append(("a whole look", cpu_seconds(whole_look, looks), 1 / every))
    found.append(("RAM alone", cpu_seconds(place.sampler.memory, looks), 1 / MEMORY_SECONDS - 1 / every))
    found.append(("a poll that is not due", cpu_seconds(watcher.tick, 20 * looks), 1 / POLL_SECONDS))
    return found


def with_and_without(place: Place, seconds: float) -> tuple[float, float] | None:
    """Median seconds of a step on the card, alone and watched, taken in turns; None without a card or torch."""
    if not place.real:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    matrix = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def step(watcher: Watcher | None) -> float:
        began, due = time.perf_counter(), 0.0
        while time.perf_counter() - began < seconds:
            for _ in range(20):
                matrix @ matrix
            torch.cuda.synchronize()
            due += 1
            if watcher is not None:
                place.now = time.monotonic()
                watcher.tick()
        return (time.perf_counter() - began) / due

    step(None)
    place.now = time.monotonic()
    pairs = [(step(None), step(place.watcher())) for _ in range(5)]
    return median(alone for alone, _ in pairs), median(watched for _, watched in pairs)


def main() -> int:
    """Print the table; 1 where watching costs more than allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=int, default=2, help="fake cards, where there are no real ones")
    parser.add_argument("--looks", type=int, default=200)
    parser.add_argument("--step-seconds", type=float, default=10.0, help="length of each measurement with a real card")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), asked.cards)
        found = rows(place, asked.looks)
        timed = with_and_without(place, asked.step_seconds)
    kind = f"{len(place.real)} real" if place.real else f"{asked.cards} fake"
    print(f"{kind} cards, {os.cpu_count()} cores; mean over {asked.looks} looks\n")
    print(f"{'part':<26}{'ms of a core':>14}{'per minute':>12}{'% of one core':>15}")
    for name, each, rate in found:
        print(f"{name:<26}{1000 * each:>14.3f}{60 * rate:>12.0f}{100 * each * rate:>15.4f}")
    whole = sum(each * rate for name, each, rate in found[-3:])
    print(
        f"\nall together {100 * whole:.3f} % of one core, {100 * whole / (os.cpu_count() or 1):.3f} % of this machine"
    )
    if timed is not None:
        alone, watched = timed
        print(f"a step of 20 products: {1000 * alone:.3f} ms alone, {1000 * watched:.3f} ms watched,", end=" ")
        print(f"{100 * (watched / alone - 1):+.3f} %")
    return 0 if 100 * whole < ALLOWED_PERCENT else 1


if __name__ == "__main__":
    raise SystemExit(main())
