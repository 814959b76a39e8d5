"""What to try after a failure: the signature in the evidence, and the thing to type."""

from __future__ import annotations

import re

_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"out-of-memory kill|signal 9 \(SIGKILL\)",
        "the host ran out of memory, most likely: compare host memory in `tunekit plan`, close other programs, or try "
        "zero.bf16_states=true, zero.offload_param=none or method.kind=qlora",
    ),
    (
        r"OutOfMemoryError|CUDA out of memory",
        "the card ran out of memory: try train.micro_batch_size=1, a smaller train.max_seq_length, "
        "train.activation_checkpointing=true or the next offload (`tunekit plan` prices each)",
    ),
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


def advice_for(evidence: str) -> str:
    """The first advice whose signature is in the evidence; otherwise where to look."""
    for signature, advice in _ADVICE:
        if re.search(signature, evidence):
            return advice
    return "read the log of the failing rank: the first error in it is the cause"
