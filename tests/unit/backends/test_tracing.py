from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.traces import TRACE, a_request
from tunekit.backends import tracing
from tunekit.errors import RunFailed, UsageError
from tunekit.memory.tracing_json import trace_to_text


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a Python program in the place of the one that traces; it gets the same arguments."""

    def put(program: str) -> None:
        file = tmp_path / "child.py"
        file.write_text("import sys, pathlib, time, os\nresult = pathlib.Path(sys.argv[-1])\n" + program)
        start = tracing.run_child
        monkeypatch.setattr(
            tracing, "run_child", lambda argv, **rest: start([sys.executable, str(file), *argv[3:]], **rest)
        )
        monkeypatch.setattr(tracing, "find_spec", lambda name: True)

    return put


def run(limit: float = 60.0, waiting=lambda: None):
    return tracing.run_trace(a_request(), waiting=waiting, limit=limit)


def test_the_answer_is_read(child, tmp_path):
    (tmp_path / "answer").write_text(trace_to_text(TRACE))
    calls = []
    child(f"result.write_text(open({str(tmp_path / 'answer')!r}).read())")
    assert run(waiting=lambda: calls.append(1)) == TRACE
    assert calls


def test_no_gpu_and_no_network_are_used(child, tmp_path):
    child(f"pathlib.Path({str(tmp_path / 'env')!r}).write_text(repr(dict(os.environ))); sys.exit(1)")
    with pytest.raises(RunFailed):
        run()
    environment = eval((tmp_path / "env").read_text())
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_what_the_tracer_refuses_is_the_users_to_mend(child):
    child("print('m: transformers cannot read its configuration', file=sys.stderr); sys.exit(2)")
    with pytest.raises(UsageError, match="m: transformers cannot read its configuration"):
        run()


def test_the_error_is_named_not_the_advice_after_it(child):
    child("raise RuntimeError('shapes differ\\nTip: see the workaround examples.')")
    with pytest.raises(RunFailed, match="the trace broke: RuntimeError: shapes differ"):
        run()


def test_a_tracer_that_hangs_is_ended(child, tmp_path):
    child(f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); time.sleep(600)")
    with pytest.raises(RunFailed, match="not done after 1 s"):
        run(limit=1.0)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        pass
    assert not Path(f"/proc/{pid}").exists()


def test_an_interrupt_ends_it(child):
    def interrupt() -> None:
        raise KeyboardInterrupt

    child("time.sleep(600)")
    with pytest.raises(KeyboardInterrupt):
        run(waiting=interrupt)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tracing, "find_spec", lambda name: None if name in ("torch", "peft") else True)
    with pytest.raises(UsageError, match=r"needs torch, peft: pip install 'tunekit\[train\]'"):
        run()


def test_only_what_is_used_is_asked_for():
    assert tracing.needed_packages(a_request()) == ("torch", "transformers", "peft")
    assert tracing.needed_packages(a_request(loss="chunked", base="nf4"))[3:] == ("trl", "bitsandbytes")
