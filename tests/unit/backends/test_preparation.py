from __future__ import annotations

import sys

import pytest

from tests.plans import make_plan
from tests.runs import TRACEBACK, write_run
from tunekit.backends.preparation import describe_work, preparation_error, prepare, readable
from tunekit.backends.processes import end_processes, is_alive, lives, read_process
from tunekit.errors import MissingError, RunFailed
from tunekit.launcher.request import LaunchRequest

COMMAND = "FAILED: [code=127] shm.o\nc++ -MMD -MF shm.o.d -I/usr/include -std=c++20 -O2 -c shm.cpp -o shm.o"
"""What ninja prints before the compiler's own words."""


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", make_plan())


def prepared(run_dir, code, report=lambda text: None):
    env = {"TUNEKIT_RUN": str(run_dir.path), "TUNEKIT_ATTEMPT": "1"}
    request = LaunchRequest(argv=("deepspeed",), env=env, files={}, cwd=str(run_dir.path))
    prepare(request, (sys.executable, "-u", "-c", code), run_dir, what="compiling", report=report)


def test_its_last_line_is_shown_while_it_works(run_dir):
    said = []

    def report(text):
        said.append(text)
        if "building cpu_adam" in text:
            (run_dir.path / "seen").touch()

    prepared(
        run_dir,
        "import os,time\nprint('building cpu_adam')\nwhile not os.path.exists('seen'): time.sleep(0.01)\n",
        report,
    )
    assert said[-1] == "compiling: building cpu_adam"
    assert run_dir.prepare_log.read_text() == "building cpu_adam\n"


def test_a_failure_is_raised_with_its_cause(run_dir):
    with pytest.raises(RunFailed, match="preparing the run failed: exit code 3"):
        prepared(run_dir, "raise SystemExit(3)")


def test_a_stop_from_another_terminal_is_an_interrupt_and_no_failure(run_dir):
    def stop(text):
        end_processes(run_dir, read_process(run_dir), grace=0.0)

    with pytest.raises(KeyboardInterrupt):
        prepared(run_dir, "import time; time.sleep(600)", stop)


def test_an_interrupt_ends_the_process(run_dir):
    def interrupt(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(run_dir, "import time; time.sleep(600)", interrupt)
    assert not is_alive(run_dir)


def test_what_nobody_could_find_again_is_not_left_running(run_dir, monkeypatch):
    started = []

    def full(run_dir, pid, attempt):
        started.append(pid)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunekit.backends.preparation.record_process", full)
    with pytest.raises(OSError, match="No space"):
        prepared(run_dir, "import time; time.sleep(600)")
    assert not lives(started[0])


@pytest.mark.parametrize(
    ("log", "cause", "cure"),
    [
        ("a.cpp:3: fatal error: Python.h: No such file\nninja: build stopped", "Python.h", "python3-dev"),
        ("/usr/bin/ld: cannot find -laio: No such file", "", "libaio-dev"),
        ("RuntimeError: Unable to JIT load the op due to ninja not being installed.", "ninja", "pip install ninja"),
        ("#error You need C++20 to compile PyTorch", "", "g++-12"),
        ("/bin/sh: 1: c++: not found", "", "apt install g++"),
        (f"{COMMAND}\n/bin/sh: 1: c++: not found\nninja: build stopped", "c++: not found", "no C++ compiler"),
        (f"{COMMAND}\nc++: error: unrecognized command-line option '-std=c++20'", "unrecognized", "too old"),
        ("fatal error: error writing to x.o: No space left on device", "No space left", "free 1 GiB"),
    ],
)  # fmt: skip
def test_what_the_machine_lacks_comes_with_its_cure(run_dir, log, cause, cure):
    run_dir.prepare_log.write_text(log + "\n")
    error = preparation_error(run_dir, 1)
    assert isinstance(error, MissingError)
    assert cause in str(error)
    assert cure in str(error)
    assert str(run_dir.prepare_log) in str(error)


def test_an_error_of_ours_is_told_by_its_last_line(run_dir):
    run_dir.prepare_log.write_text(f"converting\n{TRACEBACK}")
    error = preparation_error(run_dir, 1)
    assert isinstance(error, RunFailed)
    assert "preparing the run failed: ValueError: the loss is not a number" in str(error)


def test_work_is_described_with_its_time():
    assert describe_work(("cpu_adam", "async_io"), None) == (
        "compiling DeepSpeed's cpu_adam, async_io once for this machine (about 3 min 50 s on two cores)"
    )
    assert describe_work((), "x.gguf") == "converting x.gguf once"
    assert "and converting x.gguf once" in describe_work(("cpu_adam",), "x.gguf")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("32%|███▏      | 9/28 [00:00<00:00, 86.96it/s]", "32 %"),
        ("Extracting: 100%|██████████| 2/2 [00:00<00:00]", "Extracting 100 %"),
        ("*** 1. Extracting ZeRO fragments", "Extracting ZeRO fragments"),
        ("Failed to load CPU gemm_4bit_forward from kernels-community: No module named 'kernels'.", ""),
        ("[2/3] c++ -O3 " + "x" * 200, "[2/3] c++ -O3 " + "x" * 86 + "…"),
        ("", ""),
    ],
)
def test_what_a_builder_says_is_shown_as_people_read_it(line, shown):
    assert readable(line) == shown
