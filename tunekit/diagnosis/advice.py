"""What to try after a failed run: by the signature in the evidence; where memory failed, planned again."""

from __future__ import annotations

import signal as signals
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunekit.diagnosis.asked import card_bytes, host_bytes
from tunekit.diagnosis.signature import Fault
from tunekit.diagnosis.signatures.table import recognise
from tunekit.diagnosis.unknown import cure_of
from tunekit.diagnosis.wording import said_for
from tunekit.planner.mending import Mend, Seen, find_mends
from tunekit.planner.plan import Plan
from tunekit.recipe.job import Job
from tunekit.units import format_bytes

NEARLY_FULL = 0.95
"""Share of the usable host memory from which on it is taken for the reason of a kill."""
_LEANER_PRESET = {"z2_offload": "z2_offload_bf16", "z3_offload": "z3_offload_bf16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a failure.

    `host_bytes`: the most host memory of all ranks that was seen, `gpu_bytes` the most of a card; 0 is unknown.
    """

    text: str
    signal: int | None = None
    oom_kills: int | None = None
    host_bytes: int = 0
    gpu_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to try. `name` is the signature that was found, `fault` the memory that was too small, if it was that.

    `said`: the cause in a sentence. `mends`: changes of this plan that were planned again with what was seen.
    """

    text: str
    name: str = ""
    said: str = ""
    fault: Fault | None = None
    seen_bytes: int = 0
    """The most of that memory that was seen, with what was asked for in vain; 0 is unknown."""
    mends: tuple[Mend, ...] = ()


def advice_for(evidence: Evidence, plan: Plan) -> Advice:
    """The first advice whose signature is in the evidence; otherwise where to look."""
    hit = recognise(evidence.text)
    # The kernel counts for the whole machine: what a rank says of its own error is nearer than somebody's kill.
    told = hit is not None and hit.signature.trust == "error"
    if evidence.signal == signals.SIGKILL or (evidence.oom_kills and not told):
        return _after_a_kill(evidence, plan)
    if hit is None:
        return Advice(text=cure_of(evidence.text) or "read the log of the failing rank: the first error is the cause")
    if hit.signature.fault == "GPU memory":
        return _card_is_full(evidence, plan, name=hit.signature.name)
    if hit.signature.fault == "host memory":
        return _host_is_full(evidence, plan, name=hit.signature.name)
    return Advice(text=said_for(hit.cure, own=True), name=hit.signature.name, said=hit.cause)


def seen_in(evidence: Evidence, fault: Fault) -> Seen:
    """The most that was seen of the memory that was too small, with what was asked for in vain."""
    if fault == "GPU memory":
        return Seen(place="device", bytes=max(evidence.gpu_bytes, card_bytes(evidence.text)))
    refused = host_bytes(evidence.text) if evidence.host_bytes else 0
    return Seen(place="host", bytes=evidence.host_bytes + refused)


def _after_a_kill(evidence: Evidence, plan: Plan) -> Advice:
    if evidence.oom_kills or evidence.host_bytes > NEARLY_FULL * plan.memory.host.usable_bytes:
        return _host_is_full(evidence, plan, name="killed by the kernel")
    counted = "the kernel counted no out-of-memory kill" if evidence.oom_kills == 0 else "nothing says why"
    said = f"signal 9 (SIGKILL) came from outside; {counted}{_seen_host(evidence, plan)}"
    text = "ask `dmesg`, or your batch system's log, who ended the process"
    return Advice(text=text, name="killed", said=said)


def _card_is_full(evidence: Evidence, plan: Plan, *, name: str) -> Advice:
    seen = seen_in(evidence, "GPU memory")
    mends = find_mends(plan, seen)
    said = f"the card ran out of memory{_seen_card(evidence, plan)}"
    text = f"{said}: {_try(mends, _card_savers(plan.job))}"
    return Advice(text=text, name=name, said=said, fault="GPU memory", seen_bytes=seen.bytes, mends=mends)


def _host_is_full(evidence: Evidence, plan: Plan, *, name: str) -> Advice:
    seen = seen_in(evidence, "host memory")
    mends = find_mends(plan, seen)
    said = f"the host ran out of memory{_seen_host(evidence, plan)}"
    text = f"{said}: close other programs, or {_try(mends, _host_savers(plan.job))}"
    return Advice(text=text, name=name, said=said, fault="host memory", seen_bytes=seen.bytes, mends=mends)


def _seen_card(evidence: Evidence, plan: Plan) -> str:
    seen, card = seen_in(evidence, "GPU memory").bytes, plan.memory.device
    if not seen:
        return ""
    planned = f"{format_bytes(card.expected_bytes)} planned, {format_bytes(card.usable_bytes)} usable"
    return f" (it would have needed {format_bytes(seen)} or more; {planned})"


def _seen_host(evidence: Evidence, plan: Plan) -> str:
    if not evidence.host_bytes:
        return ""
    host = plan.memory.host
    planned = f"{format_bytes(host.expected_bytes)} planned, {format_bytes(host.usable_bytes)} usable"
    return f" (host memory was seen at {format_bytes(evidence.host_bytes)}; {planned})"


def _try(mends: tuple[Mend, ...], settings: Iterator[str]) -> str:
    if mends:
        return f"try {_either([str(mend) for mend in mends])}"
    return f"try {_either(tuple(settings))}; no single change is known to fit, `tunekit plan` shows what each saves"


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
