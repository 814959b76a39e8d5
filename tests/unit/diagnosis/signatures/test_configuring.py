from __future__ import annotations

import pytest

from tests.failing_logs import sample_of
from tunekit.diagnosis.signatures import configuring


@pytest.mark.parametrize("signature", configuring.SIGNATURES, ids=lambda signature: signature.name)
def test_each_is_found_in_what_libraries_write(signature):
    sample = sample_of(signature.name)
    text = f"{sample.text}failed (exitcode: {sample.code})\n" if sample.mark.startswith("exit") else sample.text
    hit = next(signature.hits(text), None)
    assert hit is not None
    assert "{" not in hit.cause


def test_the_four_numbers_of_the_batch_are_told():
    hit = next(configuring.BATCH.hits(sample_of("batch identity").text))
    assert hit.groups == ("16", "1", "8", "1")
    assert "16 is not 1 x 8 x 1" in hit.cause
