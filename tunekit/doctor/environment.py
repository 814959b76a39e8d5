"""Checks of the environment: rendezvous, the cards it shows, what other launchers left, trackers and notices. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunekit.doctor.case import NO_GPU, Case
from tunekit.doctor.finding import Check, Seen, blocks, not_needed, ok, warning
from tunekit.errors import TunekitError
from tunekit.launcher.devices import VARIABLE, chosen_devices
from tunekit.launcher.environment import COLLECTIVE_TIMEOUT_MINUTES, STRAY, stray_variables
from tunekit.launcher.ports import preferred_port

LEAST_TIMEOUT_MINUTES = 30


def rendezvous(case: Case) -> Seen:
    """The port of the ranks, and DeepSpeed's files about other machines."""
    refused = case.refused("rendezvous")
    if refused is not None:
        return refused
    here = case.readings.surroundings
    if here.deepspeed_env:
        found = f"{here.deepspeed_env} is read on several machines only: its variables have no effect here"
        return warning(found, "export them in the shell instead")
    port = f"first free port from {preferred_port(case.plan.recipe.output.dir)} on" if case.plan else "ports are free"
    hosts = "; /job/hostfile is there, tunekit passes it by" if here.hostfile else ""
    return ok(f"{port}{hosts}")


def visible_devices(case: Case) -> Seen:
    """CUDA_VISIBLE_DEVICES: whole cards that are here, by index or UUID."""
    refused = case.refused("visible_devices")
    if refused is not None:
        return refused
    value = case.caller.environ.get(VARIABLE)
    if not case.on_cards and not case.readings.cards.uuids:
        return not_needed(NO_GPU if value is None else f"{NO_GPU}, and {VARIABLE}={value!r} is not passed on")
    if value is None:
        return ok(f"{VARIABLE} is not set: all cards")
    wanted = case.ranks if case.plan else max(1, len(case.readings.cards.shown))
    try:
        chosen = chosen_devices(value, wanted, case.readings.cards.uuids)
    except TunekitError as error:
        found, _, cure = str(error).rpartition("; ")
        return blocks(found, cure.removesuffix("."))
    indices = ",".join(str(index) for index in chosen)
    return ok(f"{VARIABLE}={value!r}; deepspeed is told --include localhost:{indices} instead")


def stray_environment(case: Case) -> Seen:
    """What other launchers left, which the ranks do not get; what of the user's own stands and may hurt."""
    environ = case.caller.environ
    kept = tuple(_hurting(case))
    if kept:
        found, cures = zip(*kept, strict=True)
        return warning("; ".join(found), "; ".join(cures))
    left = [name for name in stray_variables(environ) if name in environ and name != VARIABLE]
    if not left:
        return ok("none of other launchers")
    known = " of another launcher" if set(left) & set(STRAY) else ""
    return ok(f"left{known} and not passed to the ranks: {', '.join(left)}")


def _hurting(case: Case) -> Iterator[tuple[str, str]]:
    environ = case.caller.environ
    timeout = environ.get("DEEPSPEED_TIMEOUT", "")
    if timeout.isdigit() and int(timeout) < LEAST_TIMEOUT_MINUTES:
        found = f"DEEPSPEED_TIMEOUT={timeout} minutes end a run whose first rank tokenises for longer"
        yield f"{found} (tunekit's own: {COLLECTIVE_TIMEOUT_MINUTES})", "unset DEEPSPEED_TIMEOUT"
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        if case.on_cards and environ.get(name) and "expandable_segments:True" not in environ[name]:
            yield f"{name}={environ[name]} turns off expandable_segments, which the plan counts on", f"unset {name}"
    if case.on_cards and environ.get("NCCL_P2P_DISABLE") == "0":
        yield "NCCL_P2P_DISABLE=0 stands, which can hang cards without peer access", "unset NCCL_P2P_DISABLE"


def trackers(case: Case) -> Seen:
    """Where metrics and notices go: reachable, or offline; nothing asks a question that nobody answers."""
    if case.readings.told.fault:
        return blocks(case.readings.told.fault, "mend it, or leave notices out")
    wanted = case.plan.recipe.tracking if case.plan else ()
    doubts = tuple(_unheard(case, wanted))
    if doubts:
        found, cures = zip(*doubts, strict=True)
        return warning("; ".join(found), "; ".join(cures))
    where = ", ".join(wanted) or "no tracker"
    return ok(f"{where}; ranks ask nothing")


def _unheard(case: Case, wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    if case.readings.told.missing:
        names = ", ".join(case.readings.told.missing)
        yield (
            f"no notice will be sent: {names} is not found, or not a program",
            "watch.notify_command=[/path/of/a/program]",
        )
    if "wandb" in wanted and not case.caller.wandb_logged_in and "WANDB_MODE" not in case.caller.environ:
        found = "no key for Weights & Biases: the run records offline and asks nothing"
        yield found, "wandb login, or later: wandb sync RUN/wandb/offline-*"


CHECKS = (
    Check(
        name="rendezvous",
        group="environment",
        title="rendezvous",
        why="A port in use, or a hostfile of a cloud image, stops the ranks before they meet.",
        look=rendezvous,
    ),
    Check(
        name="visible_devices",
        group="environment",
        title="visible cards",
        why="DeepSpeed reads indices only, and ignores the variable beside --num_gpus: wrong cards, or a crash.",
        look=visible_devices,
    ),
    Check(
        name="stray_variables",
        group="environment",
        title="variables",
        why="A RANK of another launcher makes a process wait for a group that does not exist.",
        look=stray_environment,
    ),
    Check(
        name="trackers",
        group="environment",
        title="reporting",
        why="A question on a terminal that nobody sees hangs the run, and a notice that is not sent is missed.",
        look=trackers,
    ),
)
