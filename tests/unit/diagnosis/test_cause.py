from __future__ import annotations

import pytest

from tunekit.diagnosis.cause import ENDED_AS_ASKED, Cause, find_cause, is_consequence

LOST = Cause(rank=0, lines=("Traceback", "RuntimeError: Connection reset by peer"))
OWN = Cause(rank=1, lines=("Traceback", "ValueError: no"))


def test_who_only_lost_a_peer_was_not_first():
    assert find_cause([LOST, OWN], world_size=2) == OWN
    assert is_consequence(LOST)
    assert not is_consequence(OWN)


def test_who_said_nothing_was_gone():
    assert find_cause([LOST], world_size=2) == Cause(rank=1, silent=True)
    assert find_cause([LOST], world_size=4, gone_first=3) == Cause(rank=3, silent=True)


def test_who_was_asked_to_end_was_not_first():
    asked = Cause(rank=0, lines=(ENDED_AS_ASKED,))
    assert is_consequence(asked)
    assert find_cause([asked, OWN], world_size=2) == OWN
    assert find_cause([asked], world_size=2) == Cause(rank=1, silent=True)
    lost = Cause(rank=1, lines=LOST.lines)
    assert find_cause([asked, lost], world_size=2) == lost


def test_a_signal_that_was_seen_is_a_fact():
    assert find_cause([OWN], world_size=2, gone_first=0, by_signal=True) == Cause(rank=0, silent=True)
    assert find_cause([LOST, OWN], world_size=2, gone_first=1, by_signal=True) == OWN


def test_only_consequences_are_better_than_nothing_and_the_launcher_better_than_nobody():
    lost_too = Cause(rank=1, lines=LOST.lines)
    assert find_cause([LOST, lost_too], world_size=2) == LOST
    assert find_cause([], world_size=2, gone_first=1) == Cause(rank=1, silent=True)
    assert find_cause([], world_size=2, otherwise=("no GPU",)) == Cause(lines=("no GPU",))


HUNG_UP = [
    ("httpx.ReadError: [Errno 104] Connection reset by peer",),
    ("requests.exceptions.ConnectionError: ('Connection aborted.', ConnectionResetError(104, 'reset by peer'))",),
    ("urllib.error.URLError: <urlopen error [Errno 104] Connection reset by peer>",),
    (
        '  File "/usr/lib/python3.11/http/client.py", line 1395, in getresponse',
        "    response.begin()",
        '  File "/usr/lib/python3.11/ssl.py", line 1166, in read',
        "    return self._sslobj.read(len, buffer)",
        "ConnectionResetError: [Errno 104] Connection reset by peer",
    ),
    (
        '  File "/venv/lib/python3.11/site-packages/huggingface_hub/utils/_http.py", line 310, in http_get',
        "    for chunk in r.iter_content(chunk_size=1024):",
        "    read(chunk_size)",
        "    sock.recv_into(b)",
        "BrokenPipeError: [Errno 32] Broken pipe",
    ),
]


@pytest.mark.parametrize("lines", HUNG_UP, ids=lambda lines: lines[-1][:25])
def test_a_server_that_hung_up_is_a_cause_and_no_lost_rank(lines):
    hub = Cause(rank=0, lines=lines)
    assert not is_consequence(hub)
    assert find_cause([hub, Cause(rank=1, lines=LOST.lines)], world_size=2) == hub


def test_a_lost_peer_is_one_whatever_stands_around_it():
    told = (
        '  File "/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 3000, in all_reduce',
        "    work = group.allreduce([tensor], opts)",
        "RuntimeError: [pair.cc:537] Read error [127.0.0.1]:54684: Connection reset by peer",
    )
    assert is_consequence(Cause(rank=0, lines=told))


def test_a_folder_of_the_user_s_that_is_called_like_a_package_is_no_server():
    lines = ('  File "/home/me/requests/train.py", line 3, in step', *LOST.lines)
    assert is_consequence(Cause(rank=0, lines=lines))
