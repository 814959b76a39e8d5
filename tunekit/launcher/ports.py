"""The rendezvous port: the same for the same run directory, and free when the run starts."""

from __future__ import annotations

import socket
from zlib import crc32

from tunekit.errors import UsageError

FIRST_PORT = 29500
HIGHEST_PORT = 65535
SPREAD = 1000
"""Runs are spread over this many ports from DeepSpeed's default on, so that two that start together do not meet."""


def preferred_port(output_dir: str) -> int:
    """A port from the run directory's name alone: 29500 to 30499. Pure."""
    return FIRST_PORT + crc32(output_dir.encode()) % SPREAD


def port_is_free(port: int) -> bool:
    """Whether the ranks' store, which listens on every address, could listen on the port now."""
    return _can_bind(socket.AF_INET, port) and (not _has_ipv6() or _can_bind(socket.AF_INET6, port))


def choose_port(output_dir: str, *, wanted: int | None = None) -> int:
    """The wanted port, or the first free one from the preferred on.

    UsageError: the wanted port is taken, or cannot be used by a program of a user.
    """
    if wanted is None:
        return _first_free(preferred_port(output_dir))
    if fault := port_fault(wanted):
        raise UsageError(fault)
    return wanted


def port_fault(wanted: int) -> str | None:
    """Why the port that the user named cannot be used, with another to type; None when it can."""
    if not 1024 <= wanted <= HIGHEST_PORT:
        return f"--master-port {wanted}: allowed are 1024 to {HIGHEST_PORT}; leave it out to have a free one chosen."
    if port_is_free(wanted):
        return None
    other = _first_free(wanted + 1 if wanted < HIGHEST_PORT else FIRST_PORT)
    return (
        f"--master-port {wanted}: port {wanted} is in use on this machine (another run?); "
        f"leave --master-port out to have a free one chosen, or try --master-port {other}."
    )


def _first_free(start: int) -> int:
    last = min(start + SPREAD - 1, HIGHEST_PORT)
    for port in range(start, last + 1):
        if port_is_free(port):
            return port
    raise UsageError(f"no free port between {start} and {last}; name one with --master-port.")


def _has_ipv6() -> bool:
    return socket.has_ipv6 and _can_bind(socket.AF_INET6, 0)


def _can_bind(family: socket.AddressFamily, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("", port))
    except OSError:
        return False
    return True
