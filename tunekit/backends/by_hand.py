"""The guard of launch.sh: `python -P -m tunekit.backends.by_hand RUN`; ends with 2 where a rank must not be started."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tunekit.backends.output import command_anew, goes_on, going_on, going_on_with_it, what_it_holds
from tunekit.launcher.metrics import has_steps
from tunekit.launcher.run_dir import RunDir


def main(argv: Sequence[str]) -> int:
    """0: the ranks may be started. 2: they would train over something; nothing was touched."""
    run_dir = RunDir(Path(argv[0]))
    fault = by_hand_fault(run_dir)
    if fault is not None:
        print(f"{fault} Nothing was started.", file=sys.stderr)
        return 2
    clear_way(run_dir)
    return 0


def by_hand_fault(run_dir: RunDir) -> str | None:
    """Why launch.sh must not start the ranks, with what to type instead; None where no step was trained yet."""
    if goes_on(run_dir):
        return going_on(run_dir)
    if not has_steps(run_dir) and not any(path.exists() for path in (run_dir.success, run_dir.final)):
        return None
    ways = "; ".join([*going_on_with_it(run_dir), f"to run it anew type `{command_anew(run_dir)}`"])
    return f"{run_dir.path} {what_it_holds(run_dir)}, and launch.sh trains over nothing: {ways}."


def clear_way(run_dir: RunDir) -> None:
    """What an attempt before its first step left must not end this one, nor hide its failure."""
    run_dir.stop_request.unlink(missing_ok=True)
    if run_dir.failure.exists():
        run_dir.failure.replace(run_dir.failure.with_suffix(".before.json"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
