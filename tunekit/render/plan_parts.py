"""What a plan has to say, in words and numbers but without any layout: used by the text and the HTML view alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tunekit.hardware.calibration import MEANINGS, Calibration
from tunekit.hardware.spec import Measured
from tunekit.launcher.history import MeasuredBefore
from tunekit.memory.terms import PHASES, MemoryTerm, Phase, Place, PlaceEstimate
from tunekit.planner.answer import as_typed
from tunekit.planner.plan import Decision, Fix, Plan, Verdict
from tunekit.planner.verdict import PLACE_NAMES, judge, terms_of
from tunekit.recipe.job import Job
from tunekit.render.probe_text import measured_words
from tunekit.speed.lengths import mean_length, positions_per_step, tokens_per_step
from tunekit.units import GIB, format_bytes, format_count

PLAN_FLAGS: Mapping[str, str] = MappingProxyType({"hardware": "--on"})
FIT_FLAGS: Mapping[str, str] = MappingProxyType(
    {"method.kind": "--method", "train.max_seq_length": "--seq", **PLAN_FLAGS}
)
"""What `plan` and `fit` take flags for, of keys that a fix may set."""
METHOD_NAMES = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
SIZE_KEYS = (
    "zero.overlap_comm",
    "zero.reduce_bucket_size",
    "zero.allgather_bucket_size",
    "zero.prefetch_bucket_size",
    "zero.param_persistence_threshold",
    "zero.sub_group_size",
    "zero.max_live_parameters",
    "zero.max_reuse_distance",
)
"""Decisions that only experts read; the short view says them in one line."""
_PLACES = {"cpu": "CPU", "nvme": "NVMe"}
_LONG_VALUE = 24
_FIXES_TOLD = 3
PYTHON_TRUST = 'trust="{judge}"'
"""How a judge is overruled in `tunekit.plan` and `tunekit.launch`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Expected bytes of one phase in one place. `share` is of the usable bytes, `verdict` that of the place."""

    bytes: int
    share: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryColumn:
    """One place with its phases, worst phase marked by name."""

    place: Place
    title: str
    cells: tuple[tuple[Phase, Cell], ...]
    estimate: PlaceEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRow:
    """What one judge says: GiB per place in words, and its verdict."""

    name: str
    device: str
    host: str
    verdict: str


def title(plan: Plan) -> str:
    """What is planned, in one short line without the verdict."""
    model = plan.model_shape.name.rstrip("/").rpartition("/")[2]
    return f"{METHOD_NAMES[plan.job.method]} of {model} on {plan.hardware.name}"


def facts(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Labelled lines: machine and what was measured on it, model, method, ZeRO, batch, training."""
    return (
        ("Machine", _machine_line(plan)),
        *_calibration_line(plan.hardware.calibration),
        *_measured_line(plan.hardware.measured),
        ("Model", _model_line(plan)),
        ("Method", _method_line(plan)),
        ("ZeRO", zero_line(plan)),
        ("Batch", batch_line(plan)),
        ("Train", _train_line(plan)),
    )


def _machine_line(plan: Plan) -> str:
    gpus, host = plan.hardware.gpus, plan.hardware.host
    ram = f"{format_bytes(host.ram_bytes)} RAM"
    if not gpus:
        count = plan.job.batch.world_size
        return f"{host.cpu}, {host.cores} cores, {ram}; no GPU: {count} CPU process{'es' if count > 1 else ''}"
    link = plan.hardware.link
    road = "" if link is None else ", NVLink" if link.nvlink else f", PCIe {link.pcie_generation}.0 x{link.pcie_lanes}"
    return f"{len(gpus)} x {gpus[0].name}{road}, {ram}"


def _calibration_line(calibration: Calibration | None) -> Iterator[tuple[str, str]]:
    if calibration is not None and calibration.figures:
        figures = ", ".join(f"{MEANINGS[name]} {format_figure(name, calibration)}" for name in calibration.figures)
        yield "Calibrated", f"{figures} (tunekit calibrate, {calibration.date}: {', '.join(calibration.runs)})"


def _measured_line(measured: Measured | None) -> Iterator[tuple[str, str]]:
    """The rates that a probe found, which this plan is made with."""
    if measured is not None:
        yield "Measured", f"{measured_words(measured)} (tunekit hardware probe, {measured.date})"


def format_figure(name: str, calibration: Calibration | None) -> str:
    """A figure as a person reads it; `-` where it was not measured."""
    value = None if calibration is None else calibration.figures.get(name)
    if value is None:
        return "-"
    return format_bytes(int(value)) if name.endswith("_bytes") else f"{value:.1%}"


def before_line(before: MeasuredBefore) -> str:
    """Which run it was, what was different about it, and how fast it was."""
    what = f"with {', '.join(before.differs)}" if before.differs else "the same job"
    rate = f"; {before.tokens_per_second:,.0f} tokens/s" if before.tokens_per_second else ""
    return f"{before.run}, {before.date}: {what}{rate}"


def _model_line(plan: Plan) -> str:
    shape, trained = plan.model_shape, plan.num_trainable_parameters
    share = 100 * trained / shape.num_parameters
    counts = f"{format_count(shape.num_parameters)} parameters, {format_count(trained)} trainable"
    return f"{shape.name}: {counts} ({share:.3g}%)"


def _method_line(plan: Plan) -> str:
    adapter, quantization = plan.job.adapter, plan.job.quantization
    words = [METHOD_NAMES[plan.job.method]]
    if quantization:
        words.append(f"{quantization.kind}{' with double quantisation' if quantization.double_quant else ''}")
    if adapter:
        words.append(f"rank {adapter.rank}, alpha {adapter.alpha}, dropout {adapter.dropout:g}")
        words.append(f"on {', '.join(adapter.target_modules)}")
    return "; ".join(words)


def zero_line(plan: Plan) -> str:
    """The preset in words: stage, what is offloaded where."""
    zero = plan.job.zero
    words = [f"{zero.preset}: stage {zero.stage}"]
    offloads = (("optimizer", zero.offload_optimizer), ("parameters", zero.offload_param))
    words += [f"{what} on {_PLACES[where]}" for what, where in offloads if where != "none"]
    if "nvme" in (zero.offload_optimizer, zero.offload_param):
        words.append(f"in {zero.nvme_path} (a folder of your own: zero.nvme_path)")
    if zero.offload_ratio < 1:
        words.append(f"{zero.offload_ratio:.0%} of the optimizer offloaded")
    if zero.bf16_states:
        words.append("bf16 states")
    if len(words) == 1:
        words.append("no offload")
    return ", ".join(words)


def batch_line(plan: Plan) -> str:
    """The batch identity with its numbers, and the tokens of a step."""
    batch = plan.job.batch
    unit = "GPU" if plan.hardware.gpus else "process"
    plural = "" if batch.world_size == 1 else "s" if unit == "GPU" else "es"
    return (
        f"{batch.global_batch_size} rows a step = {batch.micro_batch_size} micro x "
        f"{batch.gradient_accumulation_steps} accumulation x {batch.world_size} {unit}{plural}; "
        f"{_step_tokens(plan.job)}"
    )


def _step_tokens(job: Job) -> str:
    """What a step learns from, and what it computes where rows are padded."""
    tokens, positions = tokens_per_step(job), positions_per_step(job)
    if job.packing or job.samples is None:
        return f"{job.max_seq_length:,} tokens a row, {tokens:,} a step"
    padded = f", {positions:,} with padding" if positions > tokens else ""
    return f"about {round(mean_length(job)):,} tokens a row (at most {job.max_seq_length:,}), {tokens:,} a step{padded}"


def samples_line(job: Job) -> str:
    """How long samples are, and who says so: what rows that are not packed hold, and why packing pays or does not."""
    samples = job.samples
    if samples is None:
        return ""
    length = f"samples of {samples.mean_tokens:,} tokens on average"
    if samples.assumed:
        return f"{length} are assumed: {samples.source}; a local file as data.path tells (`fit`: --data FILE)"
    return f"{length}: {samples.source}"


def _train_line(plan: Plan) -> str:
    job = plan.job
    words = [
        job.precision,
        job.attention,
        job.optimizer,
        f"learning rate {as_typed(job.learning_rate)}",
        f"{job.loss} loss",
        "activations recomputed" if job.activation_checkpointing else "activations kept",
        "packed rows" if job.packing else "one sample a row",
    ]
    return ", ".join(words)


def memory_columns(plan: Plan) -> tuple[MemoryColumn, ...]:
    """The places that the machine has, each with its phases."""
    count = len(plan.hardware.gpus)
    titles: tuple[tuple[Place, str], ...] = (
        ("device", f"GPU (each of {count})" if count > 1 else "GPU"),
        ("host", "host RAM"),
        ("disk", "disk"),
    )
    return tuple(_column(plan, place, text) for place, text in titles if place != "device" or count)


def _column(plan: Plan, place: Place, text: str) -> MemoryColumn:
    estimate: PlaceEstimate = getattr(plan.memory, place)
    amounts = {peak.phase: getattr(peak, f"{place}_bytes") for peak in plan.memory.peaks}
    cells = tuple((phase, _cell(amounts[phase], estimate)) for phase in shown_phases(plan))
    return MemoryColumn(place=place, title=text, cells=cells, estimate=estimate)


def shown_phases(plan: Plan) -> tuple[Phase, ...]:
    """The phases the job goes through."""
    present = {peak.phase for peak in plan.memory.peaks}
    return tuple(phase for phase in PHASES if phase in present and (phase != "eval" or plan.job.evaluates))


def _cell(amount: int, estimate: PlaceEstimate) -> Cell:
    factor = estimate.high_bytes / estimate.expected_bytes if estimate.expected_bytes else 1.0
    verdict: Verdict = "fits"
    if amount > estimate.usable_bytes:
        verdict = "rejected"
    elif amount * factor > estimate.usable_bytes:
        verdict = "tight"
    return Cell(bytes=amount, share=amount / max(1, estimate.usable_bytes), verdict=verdict)


def judge_rows(plan: Plan) -> tuple[JudgeRow, ...]:
    """Both judges, one row each; what the overruled one says stands in brackets."""
    memory, table = plan.memory, plan.table
    model = JudgeRow(
        name="memory model",
        device=_band(memory.device),
        host=_band(memory.host),
        verdict=_heard(plan, "model", _model_verdict(plan)),
    )
    factory = JudgeRow(
        name="LLaMA-Factory table",
        device=_of(table.device_demand_bytes, table.device_usable_bytes),
        host=_of(table.host_demand_bytes, table.host_usable_bytes),
        verdict=_heard(plan, "table", "passes" if table.passes else "fails"),
    )
    return model, factory


def _band(estimate: PlaceEstimate) -> str:
    if not estimate.usable_bytes and not estimate.high_bytes:
        return "none"
    low, high, usable = (count / GIB for count in (estimate.low_bytes, estimate.high_bytes, estimate.usable_bytes))
    return f"{low:,.1f} to {high:,.1f} of {usable:,.1f}"


def _of(asked: int, usable: int) -> str:
    return f"{asked / GIB:,.1f} of {usable / GIB:,.1f}" if usable or asked else "none"


def _model_verdict(plan: Plan) -> Verdict:
    return judge(plan.memory, plan.table, "model").verdict


def _heard(plan: Plan, name: str, said: str) -> str:
    return said if plan.trust in ("both", name) else f"({said})"


def overrule_hint(plan: Plan, *, typed: str = "--trust {judge}") -> str:
    """How to overrule the one judge that rejects alone; empty when there is nothing to overrule.

    `typed` is what the reader types for it: on the command line, or in Python.
    """
    model_rejects, table_rejects = _model_verdict(plan) == "rejected", not plan.table.passes
    if plan.trust != "both" or model_rejects == table_rejects:
        return ""
    name, trusted = ("memory model", "table") if model_rejects else ("LLaMA-Factory table", "model")
    return f"Only the {name} rejects; {typed.format(judge=trusted)} overrules it."


def as_words(change: str, flags: Mapping[str, str]) -> str:
    """A change as it stands behind a command, with flags for what they say; `--on` also overrules the recipe's own."""
    words = [word.partition("=") for word in change.split()]
    plain = ["".join(parts) for parts in words if parts[0] not in flags]
    return " ".join((*plain, *(f"{flags[key]} {value}" for key, _, value in words if key in flags)))


def rejection_text(plan: Plan) -> str:
    """What an exception says of a rejected plan: why, and the first fixes in words that Python and recipes take."""
    lines = [plan.reason]
    if plan.fixes:
        lines += ["What to change:", *(f"  {_fix_line(fix)}" for fix in plan.fixes[:_FIXES_TOLD])]
    lines += [hint] if (hint := overrule_hint(plan, typed=PYTHON_TRUST)) else []
    return "\n".join([*lines, "Nothing was started."])


def _fix_line(fix: Fix) -> str:
    then = "not enough" if fix.verdict == "rejected" else f"then it {'fits' if fix.verdict == 'fits' else 'is tight'}"
    needs = f"; {words}" if (words := needs_words(fix)) else ""
    return f"{fix.set}  ({then}{needs}): {fix.note}"


def needs_words(fix: Fix) -> str:
    """What is needed after a change where it matters most: `host RAM: still 139.5 of 81.0 GiB, by the ... table`."""
    if not fix.needs_bytes:
        return ""
    judge_said = ", by the LLaMA-Factory table" if fix.needs_by == "table" else ""
    how = "still" if fix.verdict == "rejected" else "at most"
    amount = f"{fix.needs_bytes / GIB:,.1f} of {format_bytes(fix.usable_bytes)}"
    return f"{PLACE_NAMES[fix.needs_place]}: {how} {amount}{judge_said}"


def largest_terms(plan: Plan, place: Place, count: int) -> tuple[MemoryTerm, ...]:
    """The largest terms in the place's worst phase."""
    return terms_of(plan.memory, place)[:count]


def short_decisions(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """(key, value, reason) of every decision but the sizes, which become one line."""
    sizes = [decision for decision in plan.decisions if decision.key in SIZE_KEYS]
    for decision in plan.decisions:
        if decision.key not in SIZE_KEYS:
            yield decision.key, shortened(decision), decision.reason
        elif decision is sizes[0]:
            yield (
                "zero.*",
                "1 size" if len(sizes) == 1 else f"{len(sizes)} sizes",
                "from the hidden size and the machine; --explain lists them",
            )


def shortened(decision: Decision) -> str:
    """The value, a long list by its length."""
    if len(decision.value) > _LONG_VALUE and decision.value.startswith("["):
        return f"{decision.value.count(',') + 1} modules"
    return decision.value
