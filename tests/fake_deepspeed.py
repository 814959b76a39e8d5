"""A command of deepspeed's shape for quick tests: an outer process, a launcher, and ranks that do as they are told.

    python fake_deepspeed.py RUN ROLE RANKS BEHAVIOUR

`BEHAVIOUR`: succeed, vanish (exit 0 without a marker), crash, hang, deaf (hangs and ignores SIGTERM), saves (writes a
checkpoint when asked to end), orphans (the launcher dies and leaves its ranks), killed (rank 1 kills itself).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def outer(run: Path, ranks: int, behaviour: str) -> int:
    """As deepspeed's runner: it passes on positive exit codes only, and no signals."""
    code = subprocess.call([sys.executable, __file__, str(run), "launcher", str(ranks), behaviour])
    return max(code, 0)


def launcher(run: Path, ranks: int, behaviour: str) -> int:
    """As deepspeed's launch: a log per rank; the first failure ends the others one by one, slowly."""
    children = []
    for rank in range(ranks):
        log = (run / "logs" / f"20260101000000_rank{rank}.log").open("w")
        env = {**os.environ, "RANK": str(rank)}
        command = [sys.executable, __file__, str(run), "rank", str(ranks), behaviour]
        children.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
    while any(child.poll() is None for child in children):
        if behaviour == "orphans" and (run / "metrics.jsonl").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        failed = next((child for child in children if child.poll()), None)
        if failed is not None:
            print(f"Killing subprocess {failed.pid}", flush=True)
            for child in children:
                child.wait()
            return failed.returncode % 256
        time.sleep(0.02)
    return 0


def rank(run: Path, behaviour: str) -> int:
    """One training process."""
    number = int(os.environ["RANK"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: asked(run, behaviour, number))
    print(f"rank {number} starts", flush=True)
    (run / f"ready_{number}").touch()
    if number == 0:
        step = {"step": 1, "max_steps": 2, "loss": 2.5, "time": 1.0}
        (run / "metrics.jsonl").write_text(json.dumps(step) + "\n")
    if behaviour == "crash" and number == 1:
        raise ValueError("the loss is not a number")
    if behaviour == "killed" and number == 1:
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour not in ("succeed", "vanish"):
        hang()
    if behaviour == "succeed" and number == 0:
        attempt = int(os.environ["TUNEKIT_ATTEMPT"])
        (run / "success.json").write_text(json.dumps({"attempt": attempt, "steps": 2}))
    return 0


def asked(run: Path, behaviour: str, number: int) -> None:
    """SIGTERM has come."""
    if behaviour == "saves" and number == 0:
        (run / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    os._exit(130)


def hang() -> None:
    """For as long as no test lasts."""
    while True:
        time.sleep(60)


if __name__ == "__main__":
    folder, role, count, what = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    roles = {"outer": lambda: outer(folder, count, what), "launcher": lambda: launcher(folder, count, what)}
    sys.exit(roles.get(role, lambda: rank(folder, what))())
