from __future__ import annotations

from tests.failing_logs import sample_of
from tunekit.diagnosis.asked import card_bytes, host_bytes
from tunekit.units import GIB, MIB

OLD = (
    "RuntimeError: CUDA out of memory. Tried to allocate 512.00 MiB (GPU 0; 23.65 GiB total capacity; "
    "20.00 GiB already allocated; 100.00 MiB free; 21.00 GiB reserved in total by PyTorch)"
)


def test_what_the_card_would_have_had_to_hold():
    text = sample_of("GPU out of memory").text
    assert card_bytes(text) == round(22.43 * GIB) + round(3.91 * GIB)
    assert card_bytes(OLD) == 20 * GIB + 512 * MIB


def test_what_the_host_refused():
    assert host_bytes(sample_of("host out of memory").text) == 26843545600


def test_nobody_says():
    assert (card_bytes("step 3"), host_bytes("step 3")) == (0, 0)
