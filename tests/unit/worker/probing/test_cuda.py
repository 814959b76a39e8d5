from __future__ import annotations

import pytest

from tunekit.hardware.probing import Options

pytestmark = pytest.mark.train


def test_cards_are_counted_or_the_driver_says_why_not() -> None:
    import torch

    from tunekit.worker.probing.cuda import measure

    if torch.cuda.is_available():
        assert measure(Options())["count"] == torch.cuda.device_count()
    else:
        with pytest.raises((RuntimeError, AssertionError)):
            measure(Options())
