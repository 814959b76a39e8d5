from __future__ import annotations

import pytest

from tests.failing_logs import sample_of
from tunekit.diagnosis.signatures import building


@pytest.mark.parametrize("signature", building.SIGNATURES, ids=lambda signature: signature.name)
def test_each_is_found_in_what_libraries_write(signature):
    sample = sample_of(signature.name)
    text = f"{sample.text}failed (exitcode: {sample.code})\n" if sample.mark.startswith("exit") else sample.text
    hit = next(signature.hits(text), None)
    assert hit is not None
    assert "{" not in hit.cause


def test_the_missing_file_is_named():
    hit = next(building.MISSING_HEADER.hits("x.h:12:10: fatal error: Python.h: No such file or directory"))
    assert hit.cause == "the compiler did not find Python.h, so an op could not be built"
    assert hit.cure.startswith("the package that has Python.h: apt install g++ python3-dev")
