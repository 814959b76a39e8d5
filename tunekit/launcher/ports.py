"""The rendezvous port: the same for the same run directory, and free when the run starts."""

from __future__ import annotations

import socket
from zlib import crc32

from tunekit.errors import UsageError

FIRST_PORT = 29500
SPREAD = 1000
"""Runs are spread over this many ports from DeepSpeed's default on, so that two that start together do not meet."""


def preferred_port(output_dir: str) -> int:
    """A port from the run directory's name alone: 29500 to 30499. Pure."""
    return FIRST_PORT + crc32(output_dir.encode()) % SPREAD


def port_is_free(port: int) -> bool:
    """Whether 127.0.0.1 can listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(output_dir: str, *, wanted: int | None = None) -> int:
    """The wanted port, or the first free one from the preferred on.

    UsageError: the wanted port is taken, or cannot be used by a program of a user.
    """
    if wanted is not None:
        _check_wanted(wanted)
        return wanted
    return _first_free(preferred_port(output_dir))


def _first_free(start: int) -> int:
    for port in range(start, start + SPREAD):
        if port_is_free(port):
            return port
    raise UsageError(f"no free port between {start} and {start + SPREAD - 1}; name one with --master-port.")


def _check_wanted(port: int) -> None:
    if not 1024 <= port <= 65535:
        raise UsageError(f"--master-port {port}: allowed are 1024 to 65535; leave it out to have a free one chosen.")
    if not port_is_free(port):
        raise UsageError(
            f"--master-port {port}: port {port} is in use on this machine (another run?); "
            f"leave --master-port out to have a free one chosen, or try --master-port {_first_free(port + 1)}."
        )
