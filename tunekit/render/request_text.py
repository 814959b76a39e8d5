"""What `--dry-run` shows: the command, its environment, DeepSpeed's JSON and the files, as text or JSON."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tunekit.backends.session import Before
from tunekit.launcher.build import command_lines
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.render.summary import short_path
from tunekit.units import format_bytes

BY_HAND = (
    "Dry run: nothing was started and nothing was written.",
    "So the command above cannot be typed as it stands: plan.json and ds_config.json, which it reads, are not there. "
    "`tunekit launch` writes them, and launch.sh beside them.",
)


def print_request(console: Console, plan: Plan, request: LaunchRequest, run_dir: RunDir, before: Before) -> None:
    """The whole request, section by section; nothing is started and nothing written."""
    sections = (
        (
            "Would be started" + _port(before),
            ["cd " + shlex.quote(request.cwd), " \\\n  ".join(command_lines(request.argv))],
        ),
        ("Environment, beside yours", [f"{name}={shlex.quote(value)}" for name, value in request.env.items()]),
        ("Removed from the environment", [" ".join(request.unset)]),
        ("DeepSpeed configuration", [request.files[str(run_dir.ds_config)].rstrip()]),
        (f"Would be written to {short_path(run_dir.path)}", _files(request)),
        ("Before the start", before_lines(plan, before)),
    )
    for title, lines in sections:
        console.print(Text(title, style="bold"))
        for line in lines:
            console.print(Text("\n".join("  " + part for part in line.splitlines())), soft_wrap=True)
        console.print()
    for line in BY_HAND:
        console.print(line, soft_wrap=True)


def request_json(plan: Plan, request: LaunchRequest, run_dir: RunDir, before: Before) -> dict[str, Any]:
    """The same for scripts. `files` maps the name in the run directory to its text."""
    return {
        "format_version": 1,
        "verdict": plan.verdict,
        "run_dir": str(run_dir.path),
        "cwd": request.cwd,
        "argv": list(request.argv),
        "env": dict(request.env),
        "unset": list(request.unset),
        "files": {Path(path).name: text for path, text in request.files.items()},
        "before": {
            "fetch_bytes": before.fetch_bytes,
            "fetch_data": list(before.fetch_data),
            "compile": list(before.ops),
            "convert": before.convert,
            "not_here": list(before.not_here),
        },
    }


def before_lines(plan: Plan, before: Before) -> Sequence[str]:
    """What must be fetched, compiled and converted, one line each; then why it cannot be started on this machine."""
    lines = []
    if before.fetch_bytes:
        lines.append(f"fetch {plan.recipe.model.path} (about {format_bytes(before.fetch_bytes)})")
    lines += [f"fetch {path}, where the hub's cache does not hold it yet" for path in before.fetch_data]
    if before.ops:
        lines.append(f"compile DeepSpeed's {', '.join(before.ops)}, once for the machine")
    if before.convert is not None:
        lines.append(f"convert {before.convert}, once for the machine")
    return [
        *(lines or ["nothing: model, data and compiled ops are here"]),
        *(f"not here: {why}" for why in before.not_here),
    ]


def _port(before: Before) -> str:
    return "" if before.first_port is None else f", with the first free port from {before.first_port} on"


def _files(request: LaunchRequest) -> list[str]:
    width = max(len(Path(path).name) for path in request.files)
    return [f"{Path(path).name:<{width}}  {format_bytes(len(text.encode()))}" for path, text in request.files.items()]
