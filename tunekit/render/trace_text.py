"""A trace beside the formulas, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunekit.memory.tracing import Trace, TracedName
from tunekit.render.plain import without_trailing_spaces
from tunekit.units import GIB

MODULES_SHOWN = 8
_WORDS: dict[TracedName, str] = {
    "forward": "forward",
    "loss": "loss and its backward",
    "backward": "backward of the layers",
    "eval": "evaluation",
}


def render_trace(trace: Trace, formulas: Mapping[TracedName, int], console: Console) -> None:
    """Print peaks by part of the step beside the formulas', and the modules that hold most at the peak."""
    with without_trailing_spaces(console):
        console.print(Text(f"\n{heading(trace)}", style="bold"))
        console.print(Padding(_phases(trace, formulas), (0, 0, 0, 2)))
        console.print(Text("\nAlive at the peak, by what made it", style="bold"))
        console.print(Padding(_modules(trace), (0, 0, 0, 2)))
        for note in trace.notes:
            console.print(Text(f"  ! {note}"))


def heading(trace: Trace) -> str:
    """What was traced, how deep, and how long it took."""
    layers = f"all {trace.num_layers} layers"
    if trace.depths != (trace.num_layers,):
        layers = f"{trace.num_layers} layers, on the line through {' and '.join(map(str, trace.depths))}"
    kernels = f"; attention: {', '.join(trace.kernels)}" if trace.kernels else ""
    return f"Activations traced in the model's own code ({layers}{kernels}; {trace.seconds:.1f} s)"


def trace_tree(trace: Trace, formulas: Mapping[TracedName, int]) -> dict[str, Any]:
    """The trace and the formulas' numbers for JSON; bytes, and differences as shares of the traced bytes."""
    phases = [
        {
            "name": phase.name,
            "traced_bytes": phase.activation_bytes,
            "traced_with_gradients_bytes": phase.with_gradients_bytes,
            "formula_bytes": formulas.get(phase.name),
            "difference": difference(phase.activation_bytes, formulas.get(phase.name)),
        }
        for phase in trace.phases
    ]
    peak, formula = trace.peak.activation_bytes, formula_peak(formulas)
    return {
        "peak": {
            "phase": trace.peak.name,
            "traced_bytes": peak,
            "formula_bytes": formula,
            "difference": difference(peak, formula),
        },
        "phases": phases,
        "modules": [{"name": each.name, "count": each.count, "bytes": each.bytes} for each in trace.modules],
        "num_layers": trace.num_layers,
        "depths": list(trace.depths),
        "kernels": list(trace.kernels),
        "seconds": trace.seconds,
        "rss_bytes": trace.rss_bytes,
        "notes": list(trace.notes),
    }


def formula_peak(formulas: Mapping[TracedName, int]) -> int | None:
    """The largest part of the training step; None where there are no formulas."""
    return max((size for name, size in formulas.items() if name != "eval"), default=None)


def difference(traced: int, formula: int | None) -> float | None:
    """Formula less trace, as a share of the trace."""
    return None if formula is None or traced == 0 else round(formula / traced - 1, 4)


def _phases(trace: Trace, formulas: Mapping[TracedName, int]) -> Table:
    table = _table("GiB", "traced", "formulas", "difference")
    rows = [(_WORDS[each.name], each.activation_bytes, formulas.get(each.name)) for each in trace.phases]
    step = [row for row in rows if row[0] != _WORDS["eval"]]
    for word, traced, formula in [*step, *(row for row in rows if row not in step)]:
        _add(table, word, traced, formula)
    _add(table, "peak of the step", trace.peak.activation_bytes, formula_peak(formulas), style="bold")
    return table


def _add(table: Table, word: str, traced: int, formula: int | None, style: str = "") -> None:
    share = difference(traced, formula)
    cells = (f"{traced / GIB:.2f}", "-" if formula is None else f"{formula / GIB:.2f}")
    table.add_row(word, *cells, "-" if share is None else f"{share:+.1%}", style=style)


def _modules(trace: Trace) -> Table:
    table = _table("module", "how many", "GiB")
    for each in trace.modules[:MODULES_SHOWN]:
        table.add_row(each.name, str(each.count), f"{each.bytes / GIB:.2f}")
    rest = trace.modules[MODULES_SHOWN:]
    if rest:
        table.add_row(f"{len(rest)} more", "", f"{sum(each.bytes for each in rest) / GIB:.2f}")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    return table
