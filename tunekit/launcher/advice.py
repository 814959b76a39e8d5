"""What to try after a failure: the signature in the evidence, and the thing to type, as far as it fits the plan."""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunekit.planner.plan import Plan
from tunekit.recipe.job import Job
from tunekit.units import format_bytes

NEARLY_FULL = 0.95
"""Share of the usable host memory from which on it is taken for the reason of a kill."""
_CARD_FULL = r"OutOfMemoryError|CUDA out of memory"
_HOST_FULL = r"MemoryError|can't allocate memory|Cannot allocate memory|std::bad_alloc"
_LEANER_PRESET = {"z2_offload": "z2_offload_bf16", "z3_offload": "z3_offload_bf16"}

_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"EADDRINUSE|[Aa]ddress already in use|errno: 98",
        "the port was taken between the check and the start: start again; a free one is chosen anew",
    ),
    (
        r"No space left on device|PytorchStreamWriter failed|Errno 28",
        "the disk is full: free space, or set output.dir to another drive, or output.keep_checkpoints=1",
    ),
    (
        r"signal 7 \(SIGBUS\)|insufficient shared memory|shared memory segment",
        "/dev/shm is too small: in a container add --shm-size=16g (or --ipc=host); data.num_workers=0 needs less",
    ),
    (
        r"signal 4 \(SIGILL\)",
        "an op was built on another processor: remove its folder under ~/.cache/tunekit/ops and start again",
    ),
    (
        r"Watchdog caught collective operation timeout|NCCL (WARN|error)|unhandled (system|cuda) error",
        "a collective did not finish: look for an earlier error in the other rank's log",
    ),
    (
        r"failed to build/load|ninja: build stopped|fatal error: \S+: No such file|Unable to JIT load",
        "an op could not be built: apt install g++ python3-dev ninja-build (and libaio-dev for nvme), then start again",
    ),
    (
        r"loss is nan|grad_norm.{0,4}nan|loss scale already at minimum",
        "the loss became not a number: try train.precision=bf16, a smaller train.learning_rate, or look at the data",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a failure. `host_bytes`: the most host memory of all ranks that was seen; 0 is unknown."""

    text: str
    signal: int | None = None
    oom_kills: int | None = None
    host_bytes: int = 0


def advice_for(evidence: Evidence, plan: Plan) -> str:
    """The first advice whose signature is in the evidence; otherwise where to look."""
    if evidence.oom_kills or evidence.signal == signals.SIGKILL:
        return _after_a_kill(evidence, plan)
    if re.search(_CARD_FULL, evidence.text):
        return f"the card ran out of memory: {_try(_card_savers(plan.job))}"
    if re.search(_HOST_FULL, evidence.text):
        return _host_is_full(evidence, plan)
    for signature, advice in _ADVICE:
        if re.search(signature, evidence.text):
            return advice
    return "read the log of the failing rank: the first error in it is the cause"


def _after_a_kill(evidence: Evidence, plan: Plan) -> str:
    if evidence.oom_kills or evidence.host_bytes > NEARLY_FULL * plan.memory.host.usable_bytes:
        return _host_is_full(evidence, plan)
    counted = "the kernel counted no out-of-memory kill" if evidence.oom_kills == 0 else "nothing says why"
    return f"{counted}{_seen(evidence, plan)}; who ended the process, `dmesg` or your batch system's log may tell"


def _host_is_full(evidence: Evidence, plan: Plan) -> str:
    return f"the host ran out of memory{_seen(evidence, plan)}: close other programs, or {_try(_host_savers(plan.job))}"


def _seen(evidence: Evidence, plan: Plan) -> str:
    if not evidence.host_bytes:
        return ""
    host = plan.memory.host
    planned = f"{format_bytes(host.expected_bytes)} planned, {format_bytes(host.usable_bytes)} usable"
    return f" (host memory was seen at {format_bytes(evidence.host_bytes)}; {planned})"


def _try(settings: Iterator[str]) -> str:
    return f"try {_either(tuple(settings))}; `tunekit plan` shows what each saves"


def _either(words: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _host_savers(job: Job) -> Iterator[str]:
    """What makes this job need less RAM; on a CPU activations lie there too."""
    if job.accelerator == "cpu":
        yield from _activation_savers(job)
    if job.zero.preset in _LEANER_PRESET:
        yield f"zero.preset={_LEANER_PRESET[job.zero.preset]}"
    if job.method != "qlora":
        yield f"method.kind={'lora' if job.method == 'full' else 'qlora'}"
    yield "a smaller model"


def _card_savers(job: Job) -> Iterator[str]:
    yield from _activation_savers(job)
    if job.zero.offload_optimizer == "none" and job.method == "full":
        yield f"zero.preset={'z3_offload' if job.zero.stage == 3 else 'z2_offload'}"
    if job.method != "qlora":
        yield f"method.kind={'lora' if job.method == 'full' else 'qlora'}"


def _activation_savers(job: Job) -> Iterator[str]:
    if job.batch.micro_batch_size > 1:
        yield "train.micro_batch_size=1"
    if not job.activation_checkpointing:
        yield "train.activation_checkpointing=true"
    yield f"train.max_seq_length={job.max_seq_length // 2}"
