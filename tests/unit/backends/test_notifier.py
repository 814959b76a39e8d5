"""Notices to a real local server and to real programs; none of them can harm a run."""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from tests.waiting import until
from tunekit.backends import notifier as module
from tunekit.backends.notifier import Notifier, deliver, post, run_program
from tunekit.backends.processes import lives
from tunekit.watch.notice import Addressee, Notice

NOTICE = Notice(occasion="done", run="tiny", run_dir="/r", host="box", text="done", time=1.0, facts={"step": 3})


@pytest.fixture
def server():
    """A web hook on this machine; `/broken` answers 500, `/slow` not in time."""
    got, release = [], threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            if self.path == "/slow":
                release.wait(10)
            self.send_response(500 if self.path.startswith("/broken") else 200)
            self.end_headers()

        def log_message(self, *words):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    found.got, found.url = got, f"http://127.0.0.1:{found.server_address[1]}"
    yield found
    release.set()
    found.shutdown()
    found.server_close()


def writer(path):
    """A program that keeps what it is given."""
    return (sys.executable, "-c", "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())", str(path))


def test_an_address_gets_the_json(server):
    assert deliver(Addressee(url=f"{server.url}/hook"), NOTICE) is None
    assert server.got == [("/hook", "application/json", NOTICE.payload())]


def test_a_program_gets_the_json_and_no_shell_reads_its_words(tmp_path):
    path = tmp_path / "$(touch x); `id` kept"
    assert deliver(Addressee(command=writer(path)), NOTICE) is None
    assert json.loads(path.read_text()) == NOTICE.payload()
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_secrets_of_the_environment_are_not_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz")
    path = tmp_path / "kept"
    notice = Notice(
        occasion="failed", run="a", run_dir="/r", host="b", text="401 hf_abcdefghijklmnopqrstuvwxyz", time=1.0, facts={}
    )
    deliver(Addressee(command=writer(path)), notice)
    assert "hf_abc" not in path.read_text()


def test_an_address_that_fails_says_how_without_itself(server):
    assert post(f"{server.url}/broken?key=secret", b"{}") == "it answered 500"
    assert post(f"{server.url}/slow", b"{}", seconds=0.1) == "TimeoutError"
    assert post("http://127.0.0.1:1/secret", b"{}") == "ConnectionRefusedError"
    assert post("http://[bad", b"{}") == "ValueError"


def test_a_program_that_fails_says_how(tmp_path):
    assert run_program(["/no/such/program"], b"") == "No such file or directory"
    assert run_program([sys.executable, "-c", "raise SystemExit(3)"], b"x" * 2**20) == "it ended with code 3"
    assert run_program(["a\0b"], b"") == "embedded null byte"


def test_a_slow_program_is_killed_with_its_children(tmp_path):
    script = f"sleep 60 & echo $! > {tmp_path}/child; sleep 60"
    began = time.monotonic()
    assert run_program(["/bin/sh", "-c", script], b"", seconds=0.5) == "it took more than 0.5 s"
    assert time.monotonic() - began < 5
    child = int((tmp_path / "child").read_text())
    assert until(lambda: not lives(child))


def test_sending_never_waits_and_closing_waits_for_what_was_sent(server, tmp_path):
    complaints = []
    addressees = (Addressee(url=f"{server.url}/broken"), Addressee(command=writer(tmp_path / "kept")))
    notifier = Notifier(addressees, complaints.append)
    notifier.send(NOTICE)
    notifier.send(NOTICE)
    notifier.close()
    assert len(server.got) == 2
    assert (tmp_path / "kept").read_text().count('"event": "done"') == 2
    where = f"127.0.0.1:{server.server_address[1]}"
    assert complaints == [f"the notice `done` did not reach {where}: it answered 500"] * 2


def test_a_slow_addressee_holds_nobody_up(server):
    notifier = Notifier((Addressee(url=f"{server.url}/slow"),), lambda text: None)
    began = time.monotonic()
    for _ in range(module.WAITING + 5):
        notifier.send(NOTICE)
    notifier.close(0.1)
    assert time.monotonic() - began < 2


def test_a_program_that_still_runs_when_the_waiting_ends_is_killed_with_its_children(tmp_path):
    """It would outlive tunekit: it has a session of its own."""
    script = f"sleep 60 & echo $! $$ > {tmp_path}/ids.new; mv {tmp_path}/ids.new {tmp_path}/ids; sleep 60"
    slow = Addressee(command=("/bin/sh", "-c", script))
    notifier = Notifier((slow, Addressee(command=writer(tmp_path / "next"))), lambda text: None)
    notifier.send(NOTICE)
    assert until((tmp_path / "ids").exists)
    began = time.monotonic()
    notifier.close(0.1)
    assert time.monotonic() - began < 2
    child, program = map(int, (tmp_path / "ids").read_text().split())
    assert until(lambda: not lives(child) and not lives(program))
    assert until(lambda: "tunekit-notices" not in [thread.name for thread in threading.enumerate()])
    assert not (tmp_path / "next").exists(), "the run has ended: nothing else begins"


def test_a_program_that_ends_while_closing_looks_at_it_harms_nothing(tmp_path):
    class Forgetting(Notifier):
        looks = 0

        @property
        def _running(self):
            self.looks += 1
            return SimpleNamespace(returncode=0) if self.looks == 1 else None

        @_running.setter
        def _running(self, process):
            pass

    found = Forgetting([Addressee(command=writer(tmp_path / "kept"))], print)
    found.send(NOTICE)
    found.close()
    assert found.looks == 1
    assert (tmp_path / "kept").exists()


def test_a_complaint_that_fails_ends_nothing(server):
    def broken(text):
        raise OSError(28, "No space left on device")

    notifier = Notifier((Addressee(url=f"{server.url}/broken"),), broken)
    notifier.send(NOTICE)
    notifier.send(NOTICE)
    notifier.close()
    assert len(server.got) == 2


def test_without_addressees_there_is_no_thread():
    before = threading.active_count()
    notifier = Notifier((), lambda text: None)
    notifier.send(NOTICE)
    assert threading.active_count() == before
    notifier.close()
