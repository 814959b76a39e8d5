"""Do formulas and traces agree on activations? Every shape of the catalogue x method x checkpointing x batch.

    python benchmarks/trace_agreement.py [--sample N] [--family NAME] [--all-layers] [--worst N] [--json]
                                         [--write-page] [--keep FILE] [--minutes M]

Each case runs the model's own code on fake tensors (no GPU, no weights) and asks the memory model for the same bytes.
Depths of one and two repetitions of the model's kinds of layers are traced and extended to all layers, unless
--all-layers. --sample takes N cases spread over all; the same ones every time. All of them take the better part of an
hour on one core: with --keep what was traced is written down, and a later run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

from pages import MEMORY_PAGE, put

from tunekit.hardware.profiles import load_profile
from tunekit.memory.case import make_case
from tunekit.memory.tracing import TraceRequest, formula_bytes, trace_request
from tunekit.model_shape import catalogue
from tunekit.model_shape.adapters import resolve_target_modules
from tunekit.model_shape.config_json import shape_from_config
from tunekit.recipe.job import Adapter, Batch, Job, Quantization, Zero
from tunekit.recipe.schema import MethodKind

METHODS: tuple[MethodKind, ...] = ("full", "lora", "qlora")
EAGER_FAMILIES = ("gemma2",)
LIMIT = 0.03
"""Formulas and traces must agree this well."""
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One micro-batch: rows, tokens in each, packed or one sample a row, loss."""

    rows: int
    length: int
    packing: bool
    loss: str

    def __str__(self) -> str:
        return f"{self.rows} x {self.length}{' packed' if self.packing else ''}, {self.loss} loss"


BATCHES = (
    Rows(rows=1, length=512, packing=False, loss="full"),
    Rows(rows=1, length=2048, packing=True, loss="chunked"),
    Rows(rows=1, length=8192, packing=False, loss="chunked"),
    Rows(rows=4, length=1024, packing=False, loss="chunked"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One case and both its answers in bytes."""

    model: str
    family: str
    method: str
    checkpointing: bool
    rows: Rows
    traced: int
    formula: int
    part: str

    @property
    def error(self) -> float:
        """Formula less trace, as a share of the trace."""
        return self.formula / self.traced - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementCase:
    """A model of the catalogue and a job on one card."""

    model: str
    config: dict[str, Any]
    job: Job
    rows: Rows

    @property
    def name(self) -> str:
        """Model, method, recomputation and rows, as one line."""
        recomputed = "recomputed" if self.job.activation_checkpointing else "kept"
        return f"{self.model}, {self.job.method}, {recomputed}, {self.rows}"


def all_cases() -> list[AgreementCase]:
    """Every case, models in the order of the catalogue."""
    kinds = list(product(METHODS, (True, False), BATCHES))
    return [make(model, config, *kind) for model, config in distinct_models() for kind in kinds]


def sampled(cases: Sequence[AgreementCase], count: int) -> list[AgreementCase]:
    """`count` of them, drawn the same way every time."""
    return random.Random(SEED).sample(list(cases), min(count, len(cases)))


def distinct_models() -> Iterator[tuple[str, dict[str, Any]]]:
    """One name for every configuration that differs in more than its number of positions."""
    seen: set[str] = set()
    for name in catalogue.names():
        config = dict(catalogue.config_of(name) or {})
        key = json.dumps({**config, "max_position_embeddings": 0}, sort_keys=True)
        if key not in seen:
            seen.add(key)
            yield name, config


def make(model: str, config: dict[str, Any], method: MethodKind, checkpointing: bool, rows: Rows) -> AgreementCase:
    """The job as a planner would leave it on one card."""
    shape = shape_from_config(config, name=model, source="catalogue")
    eager = shape.family in EAGER_FAMILIES
    rows = replace(rows, packing=False, length=min(rows.length, 2048)) if eager else rows
    targets = resolve_target_modules(shape, "all-linear") if method != "full" else ()
    job = Job(
        accelerator="cuda",
        method=method,
        adapter=Adapter(rank=16, alpha=32, dropout=0.0, target_modules=targets) if targets else None,
        quantization=Quantization(kind="nf4", double_quant=True) if method == "qlora" else None,
        zero=_plain_zero(),
        batch=Batch(micro_batch_size=rows.rows, gradient_accumulation_steps=1, world_size=1),
        max_seq_length=rows.length,
        packing=rows.packing,
        completion_only_loss=False,
        precision="bf16",
        attention="eager" if eager else "sdpa",
        optimizer="adamw",
        learning_rate=1e-4,
        activation_checkpointing=checkpointing,
        loss="full" if rows.loss == "full" else "chunked",
        evaluates=False,
        save_checkpoints=False,
        keep_checkpoints=1,
    )
    return AgreementCase(model=model, config=config, job=job, rows=rows)


def compare(case: AgreementCase, *, all_layers: bool = False) -> Agreement:
    """Trace the case, and ask the formulas."""
    return agreement(case, *traced_peak(case, all_layers=all_layers))


def traced_peak(case: AgreementCase, *, all_layers: bool = False) -> tuple[int, str]:
    """Bytes of activations at the peak of the step, and the part of the step."""
    from tunekit.worker.tracing.run import depths_for, num_layers_of, trace

    request: TraceRequest = trace_request(case.job, case.model, case.config)
    request = replace(request, depths=(num_layers_of(request),) if all_layers else depths_for(request))
    peak = trace(request).peak
    return peak.activation_bytes, peak.name


def agreement(case: AgreementCase, traced: int, part: str) -> Agreement:
    """What was traced beside what the formulas say."""
    shape = shape_from_config(case.config, name=case.model, source="catalogue")
    formulas = formula_bytes(make_case(case.job, shape, load_profile("a100_80gb")))
    return Agreement(
        model=case.model,
        family=shape.family,
        method=case.job.method,
        checkpointing=case.job.activation_checkpointing,
        rows=case.rows,
        traced=traced,
        formula=max(formulas.values()),
        part=part,
    )


def _plain_zero() -> Zero:
    return Zero(
        preset="z0",
        stage=0,
        offload_optimizer="none",
        offload_param="none",
        offload_ratio=1.0,
        bf16_states=False,
        nvme_path=None,
        pin_memory=False,
        overlap_comm=False,
        reduce_bucket_size=1,
        allgather_bucket_size=1,
        prefetch_bucket_size=0,
        param_persistence_threshold=0,
        sub_group_size=1,
        max_live_parameters=0,
        max_reuse_distance=0,
    )


def summary(found: Sequence[Agreement]) -> dict[str, Any]:
    """Count, median, 90th percentile and largest of |error|, share within the limit."""
    errors = sorted(abs(each.error) for each in found)
    return {
        "n": len(errors),
        "median": round(statistics.median(errors), 4),
        "p90": round(errors[max(0, -(-len(errors) * 9 // 10) - 1)], 4),
        "worst": round(errors[-1], 4),
        "within_limit": round(sum(error <= LIMIT for error in errors) / len(errors), 4),
    }


def groups(found: Sequence[Agreement]) -> dict[str, list[Agreement]]:
    """All together, then by family, method with checkpointing, and batch."""
    made: dict[str, list[Agreement]] = {"all": list(found)}
    for each in found:
        recomputed = "recomputed" if each.checkpointing else "kept"
        for key in (each.family, f"{each.method}, activations {recomputed}", str(each.rows)):
            made.setdefault(key, []).append(each)
    return made


def as_tree(found: Sequence[Agreement], failures: Sequence[str], seconds: float) -> dict[str, Any]:
    """For JSON."""
    return {
        "limit": LIMIT,
        "seconds": round(seconds, 1),
        "groups": {name: summary(group) for name, group in groups(found).items()},
        "failures": list(failures),
        "cases": [
            {
                "model": each.model,
                "method": each.method,
                "activation_checkpointing": each.checkpointing,
                "rows": str(each.rows),
                "traced_bytes": each.traced,
                "formula_bytes": each.formula,
                "part": each.part,
                "error": round(each.error, 4),
            }
            for each in found
        ],
    }


def as_markdown(found: Sequence[Agreement], failures: Sequence[str], *, of: int, date: str) -> str:
    """For a page: what was traced and when, the groups, and every case beyond the limit by name."""
    told = (
        f"`benchmarks/trace_agreement.py --write-page` on {date}: {len(found):,} of {of:,} cases traced, "
        f"{len({each.model for each in found})} models. Errors are |formulas - trace| / trace."
    )
    head = ("| cases | n | median | 90 % | worst | within 3 % |", "|---|--:|--:|--:|--:|--:|")
    lines = [_markdown_line(name, summary(group)) for name, group in groups(found).items()]
    beyond = [_named_case(each) for each in found if abs(each.error) > LIMIT]
    named = f"Beyond {LIMIT:.0%}: {'; '.join(beyond)}." if beyond else f"No case is beyond {LIMIT:.0%}."
    return "\n\n".join((told, "\n".join((*head, *lines)), named, *failures))


def _markdown_line(name: str, numbers: dict[str, Any]) -> str:
    shares = " | ".join(f"{numbers[key]:.1%}" for key in ("median", "p90", "worst", "within_limit"))
    return f"| {name} | {numbers['n']:,} | {shares} |"


def _named_case(each: Agreement) -> str:
    kept = "recomputed" if each.checkpointing else "kept"
    return f"{each.model}, {each.method}, {kept}, {each.rows} ({each.error:+.1%} in {each.part})"


def show(found: Sequence[Agreement], failures: Sequence[str], worst: int) -> None:
    """Tables for a reader: groups, then the worst cases."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("group", "cases", "median", "p90", "worst", f"within {LIMIT:.0%}", box=None)
    for name, group in groups(found).items():
        numbers = summary(group)
        shares = (f"{numbers[key]:.1%}" for key in ("median", "p90", "worst", "within_limit"))
        table.add_row(name, str(numbers["n"]), *shares)
    console.print(table)
    cases = Table("worst", "method", "activations", "rows", "peak in", "traced MiB", "formulas", "error", box=None)
    for each in sorted(found, key=lambda case: -abs(case.error))[:worst]:
        kept = "recomputed" if each.checkpointing else "kept"
        sizes = (f"{each.traced / 2**20:,.0f}", f"{each.formula / 2**20:,.0f}", f"{each.error:+.1%}")
        cases.add_row(each.model, each.method, kept, str(each.rows), each.part, *sizes)
    console.print(cases)
    for failure in failures:
        console.print(failure)


def measure(
    cases: Sequence[AgreementCase], *, all_layers: bool, keep: Path | None = None, seconds: float = math.inf
) -> tuple[list[Agreement], list[str]]:
    """Every case, with a progress bar; what could not be traced, with the reason.

    Peaks are added to the file `keep`, and those in it are not traced again. After `seconds` no more are begun.
    """
    from rich.console import Console
    from rich.progress import track

    found: list[Agreement] = []
    failures: list[str] = []
    known, until = read_peaks(keep), time.monotonic() + seconds
    for case in track(cases, description="tracing", console=Console(stderr=True)):
        try:
            if case.name not in known:
                if time.monotonic() > until:
                    continue
                known[case.name] = traced_peak(case, all_layers=all_layers)
                add_peak(keep, case.name, *known[case.name])
            found.append(agreement(case, *known[case.name]))
        except Exception as error:
            failures.append(f"{case.name}: {type(error).__name__}: {error}"[:300])
    return found, failures


def read_peaks(path: Path | None) -> dict[str, tuple[int, str]]:
    """What earlier runs traced, by the names of the cases."""
    lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.is_file() else []
    records = [json.loads(line) for line in lines]
    return {record["case"]: (record["traced_bytes"], record["part"]) for record in records}


def add_peak(path: Path | None, name: str, traced: int, part: str) -> None:
    """Add one peak to the file."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"case": name, "traced_bytes": traced, "part": part}) + "\n")


def main() -> None:
    """Print the table, or the same as JSON; exit 1 where a case is beyond the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sample", type=int, help="so many cases instead of all")
    parser.add_argument("--family", help="only models of this model_type")
    parser.add_argument("--all-layers", action="store_true", help="trace every layer")
    parser.add_argument("--keep", type=Path, help="a file of what was traced so far, which is not traced again")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no case after so many minutes")
    parser.add_argument("--worst", type=int, default=20, help="cases listed, worst first")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the tables")
    parser.add_argument("--write-page", action="store_true", help="put the table into the page of the memory model")
    options = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore")
    cases = [each for each in all_cases() if options.family in (None, each.config["model_type"])]
    cases = cases if options.sample is None else sampled(cases, options.sample)
    started = time.monotonic()
    seconds = 60 * options.minutes
    found, failures = measure(cases, all_layers=options.all_layers, keep=options.keep, seconds=seconds)
    if options.json:
        print(json.dumps(as_tree(found, failures, time.monotonic() - started), indent=2))
    else:
        show(found, failures, options.worst)
    if options.write_page:
        today = date.today().isoformat()
        put(MEMORY_PAGE, "agreement", as_markdown(found, failures, of=len(cases), date=today))
    raise SystemExit(bool(failures) or any(abs(each.error) > LIMIT for each in found))


if __name__ == "__main__":
    main()
