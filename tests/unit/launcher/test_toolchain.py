from __future__ import annotations

from dataclasses import replace

import pytest

from tunekit.launcher.toolchain import Toolchain, toolchain_fault

WHOLE = Toolchain(compiler="/usr/bin/c++", standard="c++20", ninja="/usr/bin/ninja", cuda_home="/usr/local/cuda")


def test_nothing_is_missing_or_nothing_is_built():
    assert toolchain_fault(("cpu_adam", "async_io"), WHOLE, on_cards=True) is None
    assert toolchain_fault((), Toolchain(compiler=None, standard="c++20"), on_cards=True) is None


@pytest.mark.parametrize(
    ("change", "found", "cure"),
    [
        ({"compiler": None}, "there is no C++ compiler", "apt install g++"),
        ({"complaint": "bad -std"}, "/usr/bin/c++ cannot compile c++20 (bad -std)", "set CXX=g++-12"),
        ({"python_header": False}, "Python.h is not here", "apt install python3-dev"),
        ({"ninja": None}, "ninja is not on the PATH", "pip install ninja"),
        ({"libaio_header": False}, "libaio.h is not here", "apt install libaio-dev"),
        ({"cuda_home": None}, "the CUDA toolkit is not here", "set CUDA_HOME"),
    ],
)
def test_each_part_that_is_missing_is_named_with_its_cure(change, found, cure):
    fault = toolchain_fault(("async_io",), replace(WHOLE, **change), on_cards=True)
    assert fault.startswith(f"DeepSpeed's async_io must be compiled once, but {found}; ")
    assert fault.endswith(f"{cure}.")


def test_only_some_ops_need_libaio_and_the_toolkit():
    bare = replace(WHOLE, libaio_header=False, cuda_home=None)
    assert toolchain_fault(("cpu_adam",), bare, on_cards=True) is None
    assert toolchain_fault(("async_io",), replace(bare, libaio_header=True), on_cards=False) is None


def test_several_are_told_at_once():
    fault = toolchain_fault(("cpu_adam",), replace(WHOLE, compiler=None, python_header=False), on_cards=False)
    assert fault.endswith(
        "there is no C++ compiler and Python.h is not here; apt install g++ and apt install python3-dev."
    )
