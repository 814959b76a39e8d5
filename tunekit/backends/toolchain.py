"""Looks at what DeepSpeed's ops would be compiled with here: compiler, headers, ninja, CUDA toolkit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tunekit.launcher.caller import Caller
from tunekit.launcher.environment import path_with_environment_first
from tunekit.launcher.toolchain import Toolchain
from tunekit.launcher.versions import standard_of

COMPILE_SECONDS = 20.0
_PROGRAM = {
    "c++20": "#include <concepts>\n#include <span>\ntemplate <std::integral T> T f(std::span<T> s) { return s[0]; }\n",
    "c++17": "#include <optional>\nint f(std::optional<int> o) { return o.value_or(1); }\n",
}
"""Three lines that an older standard, or an older library beside the compiler, does not take."""


def read_toolchain(caller: Caller) -> Toolchain:
    """Everything that a build would look for, with the builder's own PATH. Runs the compiler once, for three lines."""
    import sysconfig

    path = path_with_environment_first(caller)
    compiler = shutil.which(caller.environ.get("CXX") or "c++", path=path)
    standard = standard_of(caller.versions.get("torch"))
    return Toolchain(
        compiler=compiler,
        standard=standard,
        complaint=None if compiler is None else complaint_of(compiler, standard, path),
        python_header=Path(sysconfig.get_paths()["include"], "Python.h").is_file(),
        libaio_header=_header_exists("libaio.h", caller.environ),
        ninja=shutil.which("ninja", path=path),
        cuda_home=find_cuda_home(caller.environ, path),
    )


@cache
def complaint_of(compiler: str, standard: str, path: str = "") -> str | None:
    """The compiler's first error over three lines of the standard; None where it takes them."""
    argv = [compiler, f"-std={standard}", "-fsyntax-only", "-x", "c++", "-"]
    try:
        ran = subprocess.run(
            argv,
            input=_PROGRAM[standard],
            env={**os.environ, "PATH": path or os.environ.get("PATH", ""), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=COMPILE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return " ".join(str(error).split())[:200]
    if ran.returncode == 0:
        return None
    lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else f"code {ran.returncode}")[:200]


def find_cuda_home(environ: Mapping[str, str], path: str) -> str | None:
    """Where torch looks for the CUDA toolkit: CUDA_HOME, CUDA_PATH, beside nvcc, /usr/local/cuda."""
    named = environ.get("CUDA_HOME") or environ.get("CUDA_PATH")
    if named:
        return named if Path(named).is_dir() else None
    nvcc = shutil.which("nvcc", path=path)
    if nvcc is not None:
        return str(Path(nvcc).parent.parent)
    return "/usr/local/cuda" if Path("/usr/local/cuda").is_dir() else None


def _header_exists(name: str, environ: Mapping[str, str]) -> bool:
    folders = [Path("/usr/include"), Path("/usr/local/include")]
    folders += [Path(part) for part in environ.get("CPATH", "").split(":") if part]
    return any((folder / name).is_file() for folder in folders)
