"""Checks of what is compiled: DeepSpeed's ops and their cache, bitsandbytes, flash-attn. Pure."""

from __future__ import annotations

import shlex

from tunekit.doctor.case import Case
from tunekit.doctor.disks import OF_THE_NETWORK
from tunekit.doctor.finding import Check, Seen, blocks, not_needed, ok, unknown, warning
from tunekit.launcher.ops import EXPECTED_SECONDS
from tunekit.launcher.toolchain import NEEDS_TOOLKIT, toolchain_fault
from tunekit.launcher.versions import major_of
from tunekit.units import format_seconds

TRAIN = "pip install 'tunekit[train]'"


def compiler(case: Case) -> Seen:
    """C++ compiler with the right standard, Python's headers, ninja; where something is to be compiled."""
    refused = case.refused("compiler")
    if refused is not None:
        return refused
    here = case.readings.toolchain
    fault = toolchain_fault(case.ops_to_build, here, on_cards=case.on_cards)
    if fault is not None:
        found, _, cure = fault.rpartition("; ")
        return warning(found, cure.removesuffix("."))
    if here.compiler is None or here.complaint or not here.ninja:
        return not_needed("every op that is needed is built, and no compiler is whole here")
    return ok(f"{here.compiler} takes {here.standard}; Python.h, ninja")


def nvcc(case: Case) -> Seen:
    """The CUDA toolkit: only ops that reach into CUDA's own libraries need it."""
    refused = case.refused("compiler")
    version, home = case.readings.nvcc, case.readings.toolchain.cuda_home
    needing = [op for op in case.ops if op in NEEDS_TOOLKIT] if case.on_cards else []
    if not needing:
        here = f"nvcc {version}" if version else "no nvcc"
        return not_needed(f"no op here is compiled with CUDA ({here})")
    if home is None:
        found = f"{', '.join(needing)} needs the CUDA toolkit, which is not here"
        return blocks(found, refused.cure if refused else "install the toolkit of torch's CUDA version, set CUDA_HOME")
    wanted = case.readings.torch_cuda
    if version and wanted and major_of(version) != major_of(wanted):
        return warning(f"nvcc {version}, but torch is built for CUDA {wanted}", f"install the CUDA {wanted} toolkit")
    return ok(f"{home}" + (f", nvcc {version}" if version else ""))


def ops(case: Case) -> Seen:
    """The ops that are needed: built for this machine, and they load."""
    needed, missing = case.ops, case.ops_to_build
    if not needed:
        return not_needed("the plan needs no compiled op")
    tried = case.tried("ops")
    if tried is not None and tried.missing and not tried.missing.startswith("needs torch"):
        built = ", ".join(op for op in needed if op not in missing)
        return blocks(f"{built}: built, but cannot be loaded: {tried.missing}", _removal(case))
    if missing:
        seconds = format_seconds(sum(EXPECTED_SECONDS.get(op, 60) for op in missing))
        found = f"{', '.join(missing)}: not built yet; the first launch compiles (about {seconds} on two cores)"
        if case.plan is None:
            return ok(
                f"{', '.join(missing)}: not built yet; {build_command(case)} does it now (about {seconds} on two cores)"
            )
        return warning(found, build_command(case))
    loaded = "built and loaded" if tried is not None and not tried.missing else "built"
    return ok(f"{', '.join(needed)}: {loaded}")


def build_command(case: Case) -> str:
    """What builds the ops of this recipe, or of this machine."""
    return f"tunekit doctor {case.typed} --build-ops" if case.has_recipe else "tunekit doctor --build-ops"


def _removal(case: Case) -> str:
    return f"rm -r {shlex.quote(case.readings.ops.folder)}; {build_command(case)}"


def op_cache(case: Case) -> Seen:
    """The folder of the ops: no lock of a dead builder, local, made for this processor and these packages."""
    here = case.readings.ops
    if here.stale_locks:
        found = f"left by a builder that is gone: {', '.join(map(case.short, here.stale_locks))}"
        return warning(f"{found}; tunekit removes it before it builds", f"rm {shlex.join(here.stale_locks)}")
    if here.file_system in OF_THE_NETWORK:
        found = f"{here.folder} lies on {here.file_system}: locks fail there, and other machines share it"
        return warning(found, "export TORCH_EXTENSIONS_DIR=/a/local/folder")
    foreign = [op for op in case.ops if op in here.foreign]
    if foreign:
        of = f"{', '.join(foreign)} in {here.folder}"
        found = f"{of}: for another processor, older than torch or DeepSpeed here, or not by tunekit"
        return warning(f"{found}; the next launch builds anew", build_command(case))
    built = f"{', '.join(here.built)} built" if here.built else "empty"
    return ok(f"{built}, in {case.short(here.folder)}")


def bitsandbytes(case: Case) -> Seen:
    """Its library loads, and a tensor goes to 4 bits and back on every card."""
    plan = case.plan
    if plan is not None and plan.job.quantization is None and not plan.job.optimizer.endswith("8bit"):
        return not_needed("nothing has 4 or 8 bits")
    if plan is None and not case.on_cards:
        return not_needed("nothing has 4 or 8 bits")
    tried = case.tried("four_bit")
    override = case.caller.environ.get("BNB_CUDA_VERSION")
    if tried is None or tried.missing.startswith("needs torch"):
        return unknown(tried.missing if tried else "not tried", TRAIN if tried else "")
    if tried.missing:
        cure = "unset BNB_CUDA_VERSION" if override else "pip install -U bitsandbytes; python -m bitsandbytes says more"
        return blocks(f"bitsandbytes does not work here: {tried.missing}", cure)
    if override:
        return warning(f"BNB_CUDA_VERSION={override} chooses another library than torch's", "unset BNB_CUDA_VERSION")
    return ok(f"4 bits and back on {tried.found['where']}, {tried.found['error']:.1%} mean error")


def flash_attention(case: Case) -> Seen:
    """The package loads, where the recipe asks for it."""
    if case.plan is None or case.plan.job.attention != "flash_attention_2":
        return not_needed(f"attention is {case.plan.job.attention}" if case.plan else "no recipe asks for it")
    refused = case.refused("flash_attention")
    if refused is not None:
        return refused
    tried = case.tried("flash_attention")
    if tried is None:
        return ok("flash-attn is installed")
    if tried.missing:
        cure = "pip install --force-reinstall --no-deps --no-build-isolation flash-attn, or model.attention=sdpa"
        return blocks(f"flash-attn is installed but does not load: {tried.missing}", cure)
    return ok(f"flash-attn {tried.found.get('version', '')} loads")


CHECKS = (
    Check(
        name="compiler",
        group="DeepSpeed ops",
        title="compiler",
        why="DeepSpeed compiles what it needs at first use, and its error drowns in the noise after it.",
        look=compiler,
        at_launch=False,
    ),
    Check(
        name="nvcc",
        group="DeepSpeed ops",
        title="CUDA toolkit",
        why="Swapping to NVMe on cards is linked against CUDA; nothing else that tunekit plans is.",
        look=nvcc,
    ),
    Check(
        name="ops",
        group="DeepSpeed ops",
        title="ops",
        why="Compiling takes minutes of silence at the first step, and ranks that do it at once break each other.",
        look=ops,
        at_launch=False,
    ),
    Check(
        name="op_cache",
        group="DeepSpeed ops",
        title="op cache",
        why="A lock left by a killed builder hangs every later start; ops of another processor crash.",
        look=op_cache,
    ),
    Check(
        name="bitsandbytes",
        group="DeepSpeed ops",
        title="bitsandbytes",
        why="Its library is chosen by torch's CUDA; the wrong one fails when the model is already loading.",
        look=bitsandbytes,
        at_launch=False,
    ),
    Check(
        name="flash_attention",
        group="DeepSpeed ops",
        title="flash-attn",
        why="A wheel of another torch fails with an undefined symbol.",
        look=flash_attention,
    ),
)
