"""The bytes per parameter that DeepSpeed really holds, stage by stage, equal the terms of the memory model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from memory_jobs import job, machine

from tests.integration.tiny import environment
from tunekit.launcher.ports import choose_port
from tunekit.memory.case import make_case
from tunekit.memory.estimate import collect_terms
from tunekit.model_shape.shape import ModelShape, ParameterTensor

pytestmark = [pytest.mark.slow, pytest.mark.train]

HIDDEN, LAYERS = 1024, 8
STATES = {
    "weights",
    "gradients",
    "master weights",
    "optimizer states",
    "gradient buffer of offload",
    "master weights in RAM",
    "optimizer states in RAM",
    "gradients in RAM",
    "transfer buffers of offload",
}
PASSING = {"gradients", "gradient of the first layer or embedding in flight"}  # fmt: skip


def a_case(stage: int, **changes: Any) -> dict[str, Any]:
    plain = {"stage": stage, "precision": "bf16", "bf16_states": False, "offload": False, "accumulate": 1}
    return {**plain, "fp32_gradients": False, **changes}


CASES = [
    *(a_case(stage) for stage in (0, 1, 2, 3)),
    *(a_case(stage, precision="fp32") for stage in (0, 2, 3)),
    *(a_case(stage, bf16_states=True) for stage in (2, 3)),
    *(a_case(stage, offload=True) for stage in (1, 2, 3)),
    *(a_case(stage, offload=True, bf16_states=True) for stage in (2, 3)),
    a_case(2, offload=True, accumulate=2),
    *(a_case(stage, fp32_gradients=True) for stage in (2, 3)),
    a_case(3, fp32_gradients=True, offload=True),
    # Last: DeepSpeed's engine for it keeps its buffers after it is destroyed.
    a_case(1, fp32_gradients=True),
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """Every case in one process of one rank; its imports take longer than its steps."""
    folder = tmp_path_factory.mktemp("live")
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    env = environment(**alone, MASTER_PORT=str(choose_port(str(folder))))
    argv = [sys.executable, str(Path(__file__).parent / "live_tensors.py"), json.dumps(CASES)]
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=540, check=False)
    lines = [line for line in ended.stdout.splitlines() if "RESULTS " in line]
    assert lines, ended.stderr[-3000:]
    return json.loads(lines[0].split("RESULTS ")[1])  # type: ignore[no-any-return]


def planned(case: dict[str, Any], *, backward: bool) -> float:
    """Bytes per parameter of the same stack by the memory model, at the end of backward or between steps."""
    weight = ParameterTensor(name="layers.{layer}.weight", shape=(HIDDEN, HIDDEN), role="linear", count=LAYERS)
    shape = ModelShape(
        name="stack", family="stack", num_layers=LAYERS, hidden_size=HIDDEN, num_heads=1, num_kv_heads=1,
        head_dim=HIDDEN, ffn_size=HIDDEN, vocab_size=1, max_positions=1, tied_embeddings=True, tensors=(weight,),
        source="test",
    )  # fmt: skip
    zero = {
        "stage": case["stage"],
        "bf16_states": case["bf16_states"],
        "fp32_gradients": case["fp32_gradients"],
        "offload_optimizer": "cpu" if case["offload"] else "none",
    }
    plan = job(zero=zero, ranks=1, precision=case["precision"], accumulate=case["accumulate"])
    held = [term for term in collect_terms(make_case(plan, shape, machine(0))) if term.name in STATES | PASSING]
    lasting = [term for term in held if backward or term.name not in PASSING or "save" in term.phases]
    return sum(term.host_bytes for term in lasting) / shape.num_parameters


@pytest.mark.parametrize("index", range(len(CASES)), ids=[json.dumps(case) for case in CASES])
def test_live_bytes_per_parameter(measured: list[dict[str, float]], index: int) -> None:
    found = measured[index]
    assert found["steady"] == pytest.approx(planned(CASES[index], backward=False), abs=0.1)
    assert found["backward"] == pytest.approx(planned(CASES[index], backward=True), abs=0.1)
