from __future__ import annotations

import pytest

from tests.failing_logs import sample_of
from tunekit.diagnosis.signatures import keeping


@pytest.mark.parametrize("signature", keeping.SIGNATURES, ids=lambda signature: signature.name)
def test_each_is_found_in_what_libraries_write(signature):
    sample = sample_of(signature.name)
    text = f"{sample.text}failed (exitcode: {sample.code})\n" if sample.mark.startswith("exit") else sample.text
    hit = next(signature.hits(text), None)
    assert hit is not None
    assert "{" not in hit.cause


def test_both_numbers_of_processes_are_told():
    hit = next(keeping.OTHER_WORLD.hits(sample_of("another number of processes").text))
    assert hit.cause == "the checkpoint is of 4 processes, and 2 were started"
    assert hit.cure.startswith("resume with 4 processes")
