"""Logs of jobs that failed, as deepspeed, torchrun and accelerate leave them: one rank's words among everybody's noise.

`tests/logs/*.txt` hold what the failing rank writes; here the launchers' narration and the other rank's lament are
added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "logs"
ABOUT = ("memory", "building", "starting", "configuring", "stepping", "keeping", "collectives")
"""Files with a cause per sample; `beside` has remarks, `markers` what tells the phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one signature looks like. `mark`: `exit N` (the rank's code), `launcher` (all of the log), a phase."""

    name: str
    mark: str
    text: str

    @property
    def code(self) -> int:
        """The exit code of the failing rank."""
        return int(self.mark.removeprefix("exit ")) if self.mark.startswith("exit") else 1

    @property
    def whole(self) -> bool:
        """Whether this is the whole log."""
        return self.mark == "launcher"


def samples(*files: str) -> list[Sample]:
    """Every sample of these files."""
    return [sample for file in files for sample in _samples((FOLDER / f"{file}.txt").read_text())]


def _samples(text: str) -> Iterator[Sample]:
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        name, _, mark = head.partition("|")
        yield Sample(name=name.strip(), mark=mark.strip(), text=body)


def patterns() -> list[str]:
    """The words that the table must know, as regular expressions."""
    return (FOLDER / "patterns.txt").read_text().splitlines()


PEER = """Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/deepspeed/comm/comm.py", line 520, in all_reduce
    return cdb.all_reduce(tensor, op, group, async_op)
torch.distributed.DistBackendError: [Rank 0] NCCL communicator was aborted on rank 0. Connection reset by peer
"""
"""What the surviving rank says."""
DEEPSPEED = """[2026-11-22 10:00:00,901] [WARNING] [runner.py:232:fetch_hostfile] Unable to find hostfile at /job/hostfile, will proceed with training with local resources only.
[2026-11-22 10:00:01,123] [INFO] [runner.py:630:main] cmd = /venv/bin/python -u -m deepspeed.launcher.launch --world_info=eyJsb2NhbGhvc3QiOiBbMCwgMV19 --master_addr=127.0.0.1 --master_port=29500 train.py
[2026-11-22 10:00:04,300] [INFO] [launch.py:180:main] WORLD INFO DICT: {'localhost': [0, 1]}
[2026-11-22 10:00:14,300] [INFO] [comm.py:700:init_distributed] cdb=None
You're using a LlamaTokenizerFast tokenizer. Please note that with a fast tokenizer, using the `__call__` method is faster.
"""  # noqa: E501
DESTRUCTOR = """Exception ignored in: <function DeepSpeedCPUAdam.__del__ at 0x7f8b1c0d9a80>
Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/deepspeed/ops/adam/cpu_adam.py", line 102, in __del__
    self.ds_opt_adam.destroy_adam(self.opt_id)
AttributeError: 'DeepSpeedCPUAdam' object has no attribute 'ds_opt_adam'
"""

LOGGING_ERROR = """--- Logging error ---
Traceback (most recent call last):
  File "/usr/lib/python3.11/logging/__init__.py", line 1110, in emit
    msg = self.format(record)
          ^^^^^^^^^^^^^^^^^^^
TypeError: not all arguments converted during string formatting
Call stack:
  File "/home/u/train.py", line 88, in <module>
    trainer.train()
Message: 'step'
Arguments: (3,)
"""
"""What Python's logging writes where a line cannot be written: the program goes on."""


def deepspeed_log(text: str, *, code: int = 1, rank: int = 1) -> str:
    """The merged stream of `deepspeed train.py`: no line says whose it is; the other rank fails after the first."""
    end = f"""[2026-11-22 10:10:07,100] [INFO] [launch.py:335:sigkill_handler] Killing subprocess 4242
[2026-11-22 10:10:07,101] [INFO] [launch.py:335:sigkill_handler] Killing subprocess 4243
[2026-11-22 10:10:08,101] [ERROR] [launch.py:341:sigkill_handler] ['/venv/bin/python', '-u', 'train.py', '--local_rank={rank}', '--deepspeed', 'ds.json'] exits with return code = {code}
"""  # noqa: E501
    return DEEPSPEED + DESTRUCTOR + text + PEER + end


def torchrun_log(text: str, *, code: int = 1, rank: int = 1) -> str:
    """The merged stream of torchrun, where torch writes each rank's name before its lines."""
    other = 1 - rank
    watchdog = (
        f"[rank{other}]:[E1122 10:10:03.417295000 ProcessGroupNCCL.cpp:632] [Rank {other}] Watchdog caught collective "
        "operation timeout: WorkNCCL(SeqNum=8, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for "
        "600041 milliseconds before timing out.\n"
    )
    said = _named(rank, text)
    half = len(said) // 2
    interleaved = "".join([*said[:half], watchdog, *said[half:], *_named(other, PEER)])
    end = f"""W1122 10:10:04.100000 4200 torch/distributed/elastic/multiprocessing/api.py:898] Sending process 4242 closing signal SIGTERM
E1122 10:10:05.100000 4200 torch/distributed/elastic/multiprocessing/api.py:870] failed (exitcode: {code}) local_rank: {rank} (pid: 4243) of binary: /venv/bin/python
Traceback (most recent call last):
  File "/venv/bin/torchrun", line 8, in <module>
    sys.exit(main())
  File "/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 270, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-22_10:10:05
  host      : box
  rank      : {rank} (local_rank: {rank})
  exitcode  : {code} (pid: 4243)
  error_file: <N/A>
============================================================
"""  # noqa: E501
    start = "W1122 10:00:00.100000 4200 torch/distributed/run.py:792] Setting OMP_NUM_THREADS environment variable\n"
    return start + interleaved + end


def accelerate_log(text: str, *, code: int = 1, rank: int = 1) -> str:
    """`accelerate launch` with DeepSpeed: the launcher's log, and accelerate's own traceback below it."""
    ended = f"returned non-zero exit status {code % 256}."
    return (
        deepspeed_log(text, code=code, rank=rank)
        + f"""Traceback (most recent call last):
  File "/venv/bin/accelerate", line 7, in <module>
    sys.exit(main())
  File "/venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 1023, in deepspeed_launcher
    raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)
subprocess.CalledProcessError: Command '['deepspeed', '--no_local_rank', 'train.py']' {ended}
"""
    )


LAUNCHERS: dict[str, Callable[..., str]] = {
    "deepspeed": deepspeed_log,
    "torchrun": torchrun_log,
    "accelerate": accelerate_log,
}


def _named(rank: int, text: str) -> list[str]:
    return [f"[rank{rank}]: {line}\n" for line in text.splitlines()]


def sample_of(name: str) -> Sample:
    """The sample of the signature of this name, from any file."""
    files = (*ABOUT, "beside", "markers")
    return next(sample for sample in samples(*files) if sample.name == name)
