"""Compiled code: ops that DeepSpeed builds, libraries of another build, crashes in native code."""

from __future__ import annotations

import signal

from tunekit.diagnosis.signature import Signature

_COMPILERS = "apt install g++ python3-dev ninja-build (and libaio-dev for nvme), then start again"

ILLEGAL_INSTRUCTION = Signature(
    name="illegal instruction",
    pattern=r"exits with return code = -4\b|exitcode\s*: -4\b|failed \(exitcode: -4\)|died with <Signals\.SIGILL"
    r"|Fatal Python error: Illegal instruction|signal 4 \(SIGILL\)",
    trust="exit",
    signal=signal.SIGILL,
    cause="a process was ended by signal 4 (SIGILL): an op was built for another processor",
    cure="an op was built on another processor: remove its folder under ~/.cache/tunekit/ops (else "
    "~/.cache/torch_extensions) and start again",
    source="deepspeed/ops/op_builder/builder.py (-march=native)",
)
NATIVE_CRASH = Signature(
    name="crash in native code",
    pattern=r"exits with return code = -11\b|exitcode\s*: -11\b|failed \(exitcode: -11\)|died with <Signals\.SIGSEGV"
    r"|Fatal Python error: Segmentation fault|signal 11 \(SIGSEGV\)",
    trust="exit",
    signal=signal.SIGSEGV,
    cause="a process crashed in native code, signal 11 (SIGSEGV): a library built for another torch, or the driver",
    cure="import flash_attn and bitsandbytes alone in a fresh Python; reinstall the one that crashes for this torch",
    source="exit codes of signals",
)
ABORTED = Signature(
    name="aborted",
    pattern=r"exits with return code = -6\b|exitcode\s*: -6\b|failed \(exitcode: -6\)|died with <Signals\.SIGABRT"
    r"|signal 6 \(SIGABRT\)",
    trust="collective",
    signal=signal.SIGABRT,
    cause="a process aborted itself, signal 6 (SIGABRT): the NCCL watchdog, or an assertion in native code",
    cure="look for `Watchdog` or `terminate called` in the logs of all ranks, and for an earlier error of another rank",
    source="exit codes of signals",
    deeper=("collective timed out", "NCCL"),
)
MISSING_HEADER = Signature(
    name="missing header",
    pattern=r"fatal error: (\S+): No such file",
    cause="the compiler did not find {0}, so an op could not be built",
    cure=f"the package that has {{0}}: {_COMPILERS}",
    source="DeepSpeed#3223, Chinese-LLaMA-Alpaca#368",
)
OLD_COMPILER = Signature(
    name="compiler too old",
    pattern=r"#error.*You need C\+\+(\d+)|too old version of GCC|unrecognized command[- ]line option '-std=c\+\+",
    cause="the C++ compiler is too old for torch's headers",
    cure="apt install g++-12, and export CXX=g++-12 CC=gcc-12",
    source="DeepSpeed#4576, DeepSpeed#5429, DeepSpeed#1897",
)
CANNOT_LINK = Signature(
    name="library to link with",
    pattern=r"cannot find -l(\w+)",
    cause="the linker did not find lib{0}, so an op could not be built",
    cure="for -laio: apt install libaio-dev; for -lcurand and -lcudart: the CUDA toolkit's libraries in LIBRARY_PATH",
    source="DeepSpeed#7174",
)
NO_LIBAIO = Signature(
    name="libaio",
    pattern=r"requires the dev libaio",
    cause="NVMe offload needs libaio's headers, and they are not there",
    cure="apt install libaio-dev, or no offload to nvme",
    source="DeepSpeed#2503, DeepSpeed#1126, DeepSpeed#4968",
)
NO_NINJA = Signature(
    name="ninja",
    pattern=r"Unable to JIT load the (\w+) op due to ninja|Ninja is required to load C\+\+ extensions",
    cause="ninja is not on the PATH of the ranks, so no op can be built",
    cure="pip install ninja in this environment, and put its bin folder first on PATH",
    source="LMFlow#470; deepspeed/ops/op_builder/builder.py",
)
CANNOT_LOAD_OP = Signature(
    name="op cannot be loaded",
    pattern=r"Unable to JIT load the (\w+) op",
    cause="DeepSpeed's op {0} cannot be built on this machine",
    cure=_COMPILERS,
    source="deepspeed/ops/op_builder/builder.py",
)
NO_CUDA_TOOLKIT = Signature(
    name="CUDA toolkit",
    pattern=r"CUDA_HOME does not exist|MissingCUDAException|CUDAMismatchException"
    r"|Installed CUDA version (\S+) does not match the version torch was compiled with "
    # Of a version that differs after the dot alone DeepSpeed goes on to say that it takes it.
    r"(\d[\d.]*)(?![\d.]| but since)",
    cause="an op needs the CUDA toolkit (nvcc) of torch's own version, and it is not there",
    cure="install the toolkit of `python -c 'import torch; print(torch.version.cuda)'`, or leave the op out: "
    "train.optimizer=adamw needs none",
    source="DeepSpeed#2772, DeepSpeed#3223, DeepSpeed#3436",
)
OP_FAILED = Signature(
    name="op failed to build",
    pattern=r"cpu_adam op, which failed to build/load|(?:failed to build/load)|ninja: build stopped|FAILED: \S*\.o\b"
    r"|Error building extension '(\w+)'|CalledProcessError: Command '\['ninja'",
    cause="an op of DeepSpeed could not be built; the compiler's own words stand above",
    cure=f"an op could not be built: {_COMPILERS}",
    source="DeepSpeed#7174; deepspeed/ops/adam/cpu_adam.py",
    deeper=("missing header", "compiler too old", "library to link with", "libaio", "ninja", "CUDA toolkit"),
)
STALE_OP = Signature(
    name="op's library",
    pattern=r"\b(\w+)\.so: cannot open shared object file",
    needles=(".so: cannot open shared object file",),
    cause="{0}.so is not there: its build failed, two ranks raced for it, or the cache is of another torch or Python",
    cure="remove that op's folder under ~/.cache/torch_extensions (tunekit: ~/.cache/tunekit/ops) and build once, in "
    "one process",
    source="DeepSpeed#7174, LMFlow#470, AutoPoison#6",
    deeper=("missing header", "compiler too old", "library to link with", "ninja", "CUDA toolkit"),
)
DESTRUCTOR = Signature(
    name="destructor's noise",
    pattern=r"'DeepSpeedCPUAdam' object has no attribute 'ds_opt_adam'",
    trust="noise",
    cause="an optimizer that was never built is torn down; the real error stands elsewhere",
    cure="look for `FAILED:`, `fatal error` or `ImportError` in the lines before",
    source="DeepSpeed#1846, AnomalyGPT#24, simple_GRPO#7",
    deeper=(
        "missing header",
        "compiler too old",
        "library to link with",
        "ninja",
        "op failed to build",
        "op's library",
    ),
)
OTHER_TORCH = Signature(
    name="built for another torch",
    pattern=r"\b([\w.-]+\.so): undefined symbol|PyTorch version mismatch! DeepSpeed ops were compiled and installed",
    needles=(": undefined symbol", "PyTorch version mismatch!"),
    cause="a compiled library was built for another version of torch",
    cure="reinstall it for this torch; flash-attn can be left out with model.attention=sdpa",
    source="deepspeed/ops/op_builder/builder.py",
)
BITSANDBYTES = Signature(
    name="bitsandbytes has no binary",
    pattern=r"(?:No compatible \w+|Configured \w+) binary (?:not )?found|CUDA SETUP ERROR|CUDA Setup failed despite GPU"
    r"|native library functionality but it's not available|has no attribute 'cget_managed_ptr'",
    needles=(" binary ", "CUDA SETUP ERROR", "CUDA Setup failed", "native library functionality", "cget_managed_ptr"),
    cause="bitsandbytes has no library for this version of CUDA, or BNB_CUDA_VERSION names another",
    cure="unset BNB_CUDA_VERSION; pip install -U bitsandbytes; `python -m bitsandbytes` shows what it looks for",
    source="bitsandbytes/cextension.py",
)
BITSANDBYTES_OLD = Signature(
    name="bitsandbytes missing or old",
    pattern=r"[Uu]sing `?bitsandbytes`? .{0,40}requires|No module named 'bitsandbytes'",
    cause="bitsandbytes is not installed in the environment of the ranks, or is too old for this transformers",
    cure="`python -m pip install -U bitsandbytes` with the python that runs the ranks; then `python -m bitsandbytes`",
    source="transformers/quantizers/quantizer_bnb_4bit.py",
)
NO_FLASH_ATTENTION = Signature(
    name="FlashAttention",
    pattern=r"package flash_attn seems to be not installed|FlashAttention\S* has been toggled on, but it cannot be used"
    r"|No module named 'flash_attn",
    cause="FlashAttention 2 is asked for and is not installed",
    cure='attn_implementation="sdpa" (tunekit: model.attention=sdpa) needs no package and is nearly as fast; else '
    "`python -m pip install flash-attn --no-build-isolation`",
    source="transformers/modeling_utils.py",
)
NO_MODULE = Signature(
    name="module not installed",
    pattern=r"ModuleNotFoundError: No module named '(\w+)",
    cause="the environment that the ranks run in has no module {0}, or an old one",
    cure="`python -m pip install -U {0}` with the python that runs the ranks (a few packages have another name than "
    "their module); a module of your own: start where it lies, or set PYTHONPATH",
    source="Python's importlib",
)
SIGNATURES = (
    ILLEGAL_INSTRUCTION,
    NATIVE_CRASH,
    ABORTED,
    MISSING_HEADER,
    OLD_COMPILER,
    CANNOT_LINK,
    NO_LIBAIO,
    NO_NINJA,
    CANNOT_LOAD_OP,
    NO_CUDA_TOOLKIT,
    OP_FAILED,
    STALE_OP,
    DESTRUCTOR,
    OTHER_TORCH,
    BITSANDBYTES,
    BITSANDBYTES_OLD,
    NO_FLASH_ATTENTION,
    NO_MODULE,
)
