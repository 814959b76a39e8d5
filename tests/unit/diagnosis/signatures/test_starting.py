from __future__ import annotations

import pytest

from tests.failing_logs import sample_of
from tunekit.diagnosis.signatures import starting


@pytest.mark.parametrize("signature", starting.SIGNATURES, ids=lambda signature: signature.name)
def test_each_is_found_in_what_libraries_write(signature):
    sample = sample_of(signature.name)
    text = f"{sample.text}failed (exitcode: {sample.code})\n" if sample.mark.startswith("exit") else sample.text
    hit = next(signature.hits(text), None)
    assert hit is not None
    assert "{" not in hit.cause


@pytest.mark.parametrize(
    "words",
    [
        "RuntimeError: [pair.cc:537] Read error [127.0.0.1]:54684: Connection reset by peer. GLHF!",
        "torch.distributed.DistBackendError: ncclRemoteError: A call failed possibly due to a remote process exiting",
        "torch.distributed.DistNetworkError: recvValue failed on SocketImpl",
        "BrokenPipeError: [Errno 32] Broken pipe",
    ],
)
def test_what_losing_a_peer_looks_like(words):
    assert next(starting.PEER_LOST.hits(words), None) is not None


def test_an_exit_code_of_0_is_no_failure():
    assert next(starting.EXIT_CODE.hits("['python'] exits with return code = 0"), None) is None
