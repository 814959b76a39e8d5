from __future__ import annotations

import re
import tomllib

import pytest

from tunekit.launcher.versions import LEAST, is_older, major_of, standard_of, torch_fault, version_faults

GOOD = {"torch": "2.13.0+cpu", "transformers": "5.23.0", "deepspeed": "0.19.8", "peft": None}


def test_what_works_is_no_fault():
    assert version_faults("3.11.7", GOOD) == ()


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("deepspeed", "0.19.2", "deepspeed 0.19.2 is older than 0.19.8 (0.16.0 cannot"),
        ("deepspeed", "0.16.0", "0.16.0 is older"),
        ("torch", "2.5.1", "pip install 'torch>=2.6'"),
        ("transformers", "4.57.0", "transformers 4.57.0 is older than 5.20"),
        ("trl", "1.9", "trl 1.9 is older than 1.16;"),
    ],
)
def test_known_bad_versions(name, version, words):
    (fault,) = version_faults("3.11.7", {**GOOD, name: version})
    assert words in fault
    assert fault.endswith(".")


def test_an_old_python():
    assert "Python 3.10.12 is older than 3.11" in version_faults("3.10.12", GOOD)[0]


def test_the_least_versions_are_those_that_are_installed(repository):
    extra = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]["train"]
    declared = {name: least for name, least in (re.match(r"([\w-]+)>=([\d.]+)", word).groups() for word in extra)}
    assert {name: declared[name] for name in LEAST} == dict(LEAST)


def test_torch_for_cards():
    assert "torch 2.13.0+cpu is built without CUDA" in torch_fault(None, version="2.13.0+cpu")
    assert torch_fault("12.8", version="2.13.0") == ""
    assert torch_fault(None, version=None) == ""


def test_the_standard_that_ops_are_written_in():
    assert (standard_of("2.13.0"), standard_of("2.12.0+cu128"), standard_of("2.11.1")) == ("c++20", "c++20", "c++17")
    assert standard_of(None) == "c++20"


def test_numbers_of_versions():
    assert (major_of("12.8"), major_of(None), major_of("")) == (12, None, None)
    assert is_older("535.183.01", "550.40.07")
    assert not is_older("580.65.06", "550.40.07")
