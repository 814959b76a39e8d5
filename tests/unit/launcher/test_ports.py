from __future__ import annotations

import socket

import pytest

from tunekit.errors import UsageError
from tunekit.launcher import ports
from tunekit.launcher.ports import (
    FIRST_PORT,
    SPREAD,
    _first_free,
    _has_ipv6,
    choose_port,
    port_fault,
    port_is_free,
    preferred_port,
)


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_same_folder_same_port():
    assert preferred_port("runs/a") == preferred_port("runs/a")
    assert preferred_port("runs/a") != preferred_port("runs/b")
    assert all(FIRST_PORT <= preferred_port(f"runs/{i}") < FIRST_PORT + SPREAD for i in range(100))


def test_taken_port_is_passed_over():
    with socket.socket() as listener:
        start = next(port for port in range(preferred_port("runs/a"), 65000) if port_is_free(port))
        listener.bind(("127.0.0.1", start))
        listener.listen()
        assert not port_is_free(start)
        assert choose_port("runs/a") > start


def test_wanted_port_in_use_names_another(taken_port):
    with pytest.raises(UsageError) as caught:
        choose_port("runs/a", wanted=taken_port)
    text = str(caught.value)
    assert f"port {taken_port} is in use" in text
    assert "--master-port" in text
    proposed = int(text.rstrip(".").rsplit(" ", 1)[1])
    assert proposed > taken_port
    assert port_is_free(proposed)


@pytest.mark.parametrize("port", [0, 80, 70000])
def test_wanted_port_out_of_range(port):
    with pytest.raises(UsageError, match="1024 to 65535"):
        choose_port("runs/a", wanted=port)


def test_wanted_port_is_taken_as_it_is():
    free = choose_port("runs/a")
    assert choose_port("runs/other", wanted=free) == free


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")])  # noqa: S104
def test_a_port_is_taken_on_whatever_address(family, address):
    if family == socket.AF_INET6 and not _has_ipv6():
        pytest.skip("no IPv6 here")
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not port_is_free(port)
        assert f"port {port} is in use" in port_fault(port)


def test_behind_the_highest_port_the_search_begins_anew(monkeypatch):
    monkeypatch.setattr(ports, "port_is_free", lambda port: port == FIRST_PORT + 1)
    assert port_fault(65535).endswith(f"or try --master-port {FIRST_PORT + 1}.")
    with pytest.raises(UsageError, match="no free port between 65000 and 65535"):
        _first_free(65000)
