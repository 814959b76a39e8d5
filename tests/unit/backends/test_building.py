from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.plans import make_caller
from tunekit.backends import building
from tunekit.backends.building import LOG, build
from tunekit.errors import MissingError

WORDS = """building cpu_adam (about 50 s on two cores)
FAILED: cpu_adam.o
/usr/include/x.h:1:10: fatal error: Python.h: No such file or directory
ninja: build stopped: subcommand failed.
"""


class Builder:
    """In place of the process: what it was told; it leaves `words` and ends with `code`."""

    def __init__(self, code: int | None, words: str = "") -> None:
        self.code, self.words = code, words
        self.argv: Sequence[str] = ()
        self.env: Mapping[str, str] = {}
        self.limit = 0.0

    def __call__(
        self, argv: Sequence[str], *, env: Mapping[str, str], log: Path, limit: float, waiting: Callable[[], None]
    ) -> int | None:
        self.argv, self.env, self.limit = argv, env, limit
        log.write_text(self.words)
        waiting()
        return self.code


@pytest.fixture
def caller(tmp_path):
    return make_caller(environ={"TORCH_EXTENSIONS_DIR": str(tmp_path / "ops"), "PATH": "/usr/bin"})


def built(monkeypatch, caller, builder):
    said = []
    monkeypatch.setattr(building, "run_child", builder)
    build(("cpu_adam", "async_io"), caller, {"DS_ACCELERATOR": "cpu"}, report=said.append)
    return said


def test_ops_are_built_in_one_process_that_says_how_far_it_is(monkeypatch, caller, tmp_path):
    builder = Builder(0, "building cpu_adam\n")
    assert built(monkeypatch, caller, builder) == ["compiling cpu_adam, async_io: building cpu_adam"]
    assert builder.argv[1:] == ("-m", "tunekit.worker.building", "cpu_adam", "async_io")
    assert builder.env["TORCH_EXTENSIONS_DIR"] == str(tmp_path / "ops")
    assert builder.env["DS_ACCELERATOR"] == "cpu"
    assert builder.env["PATH"].startswith("/venv/bin:")
    assert builder.limit == 2 * 1200


def test_the_compilers_own_error_is_told(monkeypatch, caller, tmp_path):
    with pytest.raises(MissingError) as caught:
        built(monkeypatch, caller, Builder(4, WORDS))
    text = str(caught.value)
    assert "fatal error: Python.h: No such file or directory" in text
    assert text.endswith(f"{tmp_path / 'ops' / LOG}; the headers of Python are missing: apt install python3-dev.")


def test_a_compiler_that_says_nothing_is_named(monkeypatch, caller):
    """What torch says where CXX=/bin/false."""
    words = "Command '['/bin/false', '--version']' returned non-zero exit status 1."
    log = f"building cpu_adam (about 50 s on two cores)\nDeepSpeed's op cpu_adam cannot be built: {words}\n"
    with pytest.raises(MissingError) as caught:
        built(monkeypatch, caller, Builder(4, log))
    first, second = str(caught.value).splitlines()
    assert first == f"cpu_adam, async_io cannot be built: {words}"
    assert second.endswith("that is no C++ compiler: unset CXX, or apt install g++ and set CXX=g++.")


def test_a_build_that_hangs(monkeypatch, caller):
    with pytest.raises(MissingError, match="not built after 40 min 00 s"):
        built(monkeypatch, caller, Builder(None))


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    caller = make_caller(environ={"TORCH_EXTENSIONS_DIR": str(tmp_path / "file" / "ops")})
    with pytest.raises(MissingError, match="set TORCH_EXTENSIONS_DIR to a folder of your own"):
        built(monkeypatch, caller, Builder(0))
