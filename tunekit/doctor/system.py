"""Checks of the system: versions, what the recipe trains on, and where the command runs. Pure."""

from __future__ import annotations

from tunekit.doctor.case import Case
from tunekit.doctor.finding import Check, Seen, blocks, ok, warning
from tunekit.launcher.preflight import packages_fault

SHOWN = ("torch", "transformers", "deepspeed")


def versions(case: Case) -> Seen:
    """Python and the libraries: installed, new enough, and none that is known to fail."""
    refused = case.refused("versions")
    if refused is not None:
        return refused
    if fault := packages_fault(case.readings.missing_modules):
        found, _, cure = fault.rpartition("; ")
        return blocks(found, cure.removesuffix("."))
    if case.readings.version_faults:
        parts = [fault.rpartition("; ") for fault in case.readings.version_faults]
        return blocks("\n".join(part[0] for part in parts), "; ".join(part[2].removesuffix(".") for part in parts))
    named = (f"{name} {version.partition('+')[0]}" for name in SHOWN if (version := case.caller.versions.get(name)))
    return ok(", ".join((f"Python {case.caller.python_version}", *named)))


def accelerator(case: Case) -> Seen:
    """Cards, or processes on the processor; and a torch that can use what is here."""
    refused = case.refused("accelerator")
    if refused is not None:
        return refused
    torch, cards = case.caller.versions.get("torch"), case.readings.cards.shown
    if case.on_cards:
        if torch and case.readings.torch_cuda is None:
            return blocks(f"{len(cards)} GPUs, but torch {torch} is built without CUDA", "pip install torch")
        return ok(f"{len(cards)} x {cards[0].name}")
    if torch and case.readings.torch_cuda:
        return warning(
            f"no GPU, and torch {torch} is built for CUDA {case.readings.torch_cuda}: accelerate may leave DeepSpeed "
            "out; the worker checks its engine and stops",
            "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        )
    processes = "1 CPU process" if case.ranks == 1 else f"{case.ranks} CPU processes"
    if case.plan is not None:
        return ok(f"no GPU: {processes} {'trains' if case.ranks == 1 else 'train'}, as planned")
    return ok(f"no GPU: {processes}, to try small models")


def surroundings(case: Case) -> Seen:
    """Notebook, container, WSL, a connection that may break."""
    here = case.readings.surroundings
    words = [
        *([f"a container ({here.container})"] if here.container else []),
        *(["a notebook, whose kernel stays free of CUDA"] if here.notebook else []),
        *(["SSH without tmux: a run goes on when the line breaks"] if here.ssh and not here.multiplexer else []),
    ]
    if here.wsl and case.on_cards:
        found = "; ".join(["WSL: Windows lets a process page-lock little of the RAM", *words])
        return warning(found, "set zero.pin_memory=false where offload fails, or use Linux itself")
    return ok("; ".join(words) or "a shell on the machine itself")


CHECKS = (
    Check(
        name="versions",
        group="system",
        title="versions",
        why="These libraries break each other across versions, some without an error.",
        look=versions,
    ),
    Check(
        name="accelerator",
        group="system",
        title="trains on",
        why="A plan holds only on the machine it was made for.",
        look=accelerator,
    ),
    Check(
        name="surroundings",
        group="system",
        title="surroundings",
        why="Containers, WSL and broken connections end runs in ways of their own.",
        look=surroundings,
    ),
)
