from __future__ import annotations

import pytest

from tests.failing_logs import sample_of
from tunekit.diagnosis.signatures import stepping


@pytest.mark.parametrize("signature", stepping.SIGNATURES, ids=lambda signature: signature.name)
def test_each_is_found_in_what_libraries_write(signature):
    sample = sample_of(signature.name)
    text = f"{sample.text}failed (exitcode: {sample.code})\n" if sample.mark.startswith("exit") else sample.text
    hit = next(signature.hits(text), None)
    assert hit is not None
    assert "{" not in hit.cause


def test_a_small_loss_is_not_a_loss_of_zero():
    assert next(stepping.LOSS_ZERO.hits("{'loss': 0.0012, 'grad_norm': 0.1}"), None) is None
    assert next(stepping.NOT_A_NUMBER.hits("{'loss': 0.0, 'grad_norm': 0.1}"), None) is None
