"""CPU Adam: torch's and DeepSpeed's, for real."""

from __future__ import annotations

import pytest

from tests.integration import tiny
from tunekit.hardware.probing import Options

pytestmark = pytest.mark.train


def test_torchs_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.worker.probing import adam

    monkeypatch.setattr(adam, "LEAST", 4096)
    found = adam.measure(Options(seconds=0.0, free_bytes=0))
    assert found["adam"] == "torch AdamW, fused"
    assert found["adam_fp32_rate"] > 0
    assert found["adam_bf16_rate"] > 0


@pytest.mark.slow
def test_deepspeeds_adam_steps_as_torchs_does() -> None:
    import torch

    from tunekit.worker.probing.adam import deepspeed_step, torch_step

    library = tiny.built_ops("cpu_adam") / "cpu_adam" / "cpu_adam.so"
    ours, theirs = torch.ones(1024), torch.ones(1024)
    deepspeed_step(str(library))(ours)()
    torch_step(theirs)()
    # torch decays weights by 0.01 of the rate, the probe's by none.
    assert torch.allclose(ours, theirs + 1e-5, atol=1e-6)
