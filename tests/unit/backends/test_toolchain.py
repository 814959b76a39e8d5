from __future__ import annotations

import shutil
import sys

import pytest

from tests.plans import make_caller
from tunekit.backends.toolchain import complaint_of, find_cuda_home, read_toolchain


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_path_without_a_compiler(tmp_path):
    caller = make_caller(executable=str(tmp_path / "python"), environ={"PATH": str(tmp_path)})
    found = read_toolchain(caller)
    assert (found.compiler, found.complaint, found.ninja) == (None, None, None)


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler here")
def test_the_compiler_of_this_machine_takes_what_ops_are_written_in():
    caller = make_caller(executable=sys.executable, environ={"PATH": "/usr/local/bin:/usr/bin:/bin"})
    found = read_toolchain(caller)
    assert found.standard == "c++20"
    assert found.compiler.endswith("c++")
    assert found.complaint is None


def test_an_old_compiler_is_found_out_by_asking_it(tmp_path):
    old = script(tmp_path / "c++", 'echo "c++: error: unrecognized command line option -std=c++20" >&2; exit 1')
    assert complaint_of(old, "c++20") == "c++: error: unrecognized command line option -std=c++20"
    silent = script(tmp_path / "silent", "exit 3")
    assert complaint_of(silent, "c++20") == "code 3"
    assert "No such file" in complaint_of(str(tmp_path / "gone"), "c++20")


def test_the_compiler_that_cxx_names(tmp_path):
    mine = script(tmp_path / "my-c++", "exit 0")
    caller = make_caller(environ={"PATH": str(tmp_path), "CXX": "my-c++"})
    assert read_toolchain(caller).compiler == mine


def test_where_the_cuda_toolkit_is_looked_for(tmp_path):
    (tmp_path / "bin").mkdir()
    assert find_cuda_home({"CUDA_HOME": str(tmp_path)}, "") == str(tmp_path)
    assert find_cuda_home({"CUDA_HOME": str(tmp_path / "gone")}, "") is None
    script(tmp_path / "bin" / "nvcc", "exit 0")
    assert find_cuda_home({}, str(tmp_path / "bin")) == str(tmp_path)
