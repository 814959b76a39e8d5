"""Sends notices to the user's own program or address, in a thread of its own: nothing here may harm or delay a run."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress

from tunekit.secrecy import redact_json
from tunekit.watch.notice import Addressee, Notice

SEND_SECONDS = 10.0
"""For one program or one address."""
CLOSE_SECONDS = 12.0
"""For what is still to be sent when the run has ended."""
WAITING = 100
"""Notices that may wait; more are dropped."""


class Notifier:
    """Call `send` at any time and `close` at the end. `complain` is told, from the other thread, what went wrong."""

    def __init__(self, addressees: Sequence[Addressee], complain: Callable[[str], None]) -> None:
        self._addressees = tuple(addressees)
        self._complain = complain
        self._notices: queue.Queue[Notice | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._running: subprocess.Popen[bytes] | None = None
        self._over = False

    def send(self, notice: Notice) -> None:
        """Hand a notice over; returns at once."""
        if not self._addressees:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._deliver_all, name="tunekit-notices", daemon=True)
            self._thread.start()
        with suppress(queue.Full):
            self._notices.put_nowait(notice)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait a little for what is still to be sent; a program that still runs then is killed, and no other begins."""
        if self._thread is None:
            return
        with suppress(queue.Full):
            self._notices.put_nowait(None)
        try:
            self._thread.join(seconds)
        finally:  # also where Ctrl-C ends the waiting
            self._over = True
            running = self._running  # the other thread may forget it meanwhile
            if running is not None:
                kill_group(running)
            self._thread = None

    def _deliver_all(self) -> None:
        while (notice := self._notices.get()) is not None:
            for addressee in self._addressees:
                if self._over:
                    return
                fault = deliver(addressee, notice, begun=self._begun)
                self._running = None
                if fault is not None:
                    self._say(f"the notice `{notice.occasion}` did not reach {addressee.name}: {fault}")

    def _begun(self, process: subprocess.Popen[bytes]) -> None:
        self._running = process
        if self._over:  # `close` looked just before
            kill_group(process)

    def _say(self, text: str) -> None:
        with suppress(OSError):  # a full drive takes no complaint either
            self._complain(text)


Begun = Callable[["subprocess.Popen[bytes]"], None]
"""Is told of a program when it has begun."""


def deliver(addressee: Addressee, notice: Notice, *, begun: Begun = lambda process: None) -> str | None:
    """Send one notice; what went wrong, or None."""
    body = redact_json(json.dumps(notice.payload())).encode() + b"\n"
    return run_program(addressee.command, body, begun=begun) if addressee.command else post(addressee.url, body)


def run_program(
    argv: Sequence[str], body: bytes, seconds: float = SEND_SECONDS, *, begun: Begun = lambda process: None
) -> str | None:
    """Run the program, without a shell, with `body` on its standard input; killed with its children when it is slow."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    begun(process)
    try:
        process.communicate(body, timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_group(process)
        process.wait()
        return f"it took more than {seconds:g} s"
    except OSError:
        process.wait()
    return None if process.returncode == 0 else f"it ended with code {process.returncode}"


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that runs in a session of its own, with its children."""
    if process.returncode is None:  # else its number may be another's by now
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def post(url: str, body: bytes, seconds: float = SEND_SECONDS) -> str | None:
    """POST the JSON; the address itself is in no message."""
    try:
        request = urllib.request.Request(
            url, data=body, headers={"Content-Type": "application/json", "User-Agent": "tunekit"}
        )
        began = time.monotonic()
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            while answer.read(1 << 16) and time.monotonic() - began < seconds:
                pass
    except urllib.error.HTTPError as error:
        return f"it answered {error.code}"
    except (OSError, ValueError) as error:
        return type(getattr(error, "reason", error)).__name__
    except Exception as error:  # noqa: BLE001 - http.client has a dozen more; none may end the thread
        return type(error).__name__
    return None
