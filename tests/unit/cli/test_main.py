from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunekit import __version__


def tunekit(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tunekit", *words],
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_version_is_printed() -> None:
    assert tunekit("--version").stdout == f"tunekit {__version__}\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", "llama2_7b_lora"), 0),
        (("plan", "nope"), 2),
        (("plan", "llama2_7b_lora", "--nope"), 2),
        (("plan", "codellama34b_full"), 3),
        (("fit", "meta-llama/Llama-2-7b-hf", "--on", "dual_rtx4090", "--method", "lora", "--seq", "0"), 2),
        (("plan", "llama2_7b_lora", "model.path=no/such-model"), 4),
    ],
)
def test_the_exit_code_belongs_to_the_fault_and_no_traceback_is_shown(
    words: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    done = tunekit(*words, HF_HOME=str(tmp_path))
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == (code in (2, 4))


def test_a_terminal_that_says_it_has_no_columns_gets_text_all_the_same() -> None:
    assert "dual_rtx4090" in tunekit("plan", "llama2_7b_lora", COLUMNS="0").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tunekit", "recipes", "show", "quickstart"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (1, "The output: No space left on device.\n")


@pytest.mark.parametrize("words", [("plan", "codellama34b_full"), ("recipes", "schema"), ("hardware", "--json")])
def test_a_reader_that_goes_away_is_no_fault(words: tuple[str, ...]) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "tunekit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    assert run.stderr.read() == ""
    run.stderr.close()
    run.wait()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_the_caller_closed_is_no_error(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tunekit --version {closed}"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
