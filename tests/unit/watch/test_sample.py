from __future__ import annotations

import json

import pytest

from tunekit.units import GIB
from tunekit.watch.sample import DriveSample, GpuSample, HostSample, Sample, sample_from

SAMPLE = Sample(
    time=1000.5,
    gpus=(GpuSample(index=1, used_bytes=17 * GIB, total_bytes=24 * GIB, celsius=71, watts=380.5, limit_watts=450.0),),
    host=HostSample(total_bytes=96 * GIB, available_bytes=40 * GIB, cgroup_limit_bytes=96 * GIB),
    drives=(DriveSample(purpose="output", path="/runs", free_bytes=5, total_bytes=9),),
)


def test_a_sample_survives_its_record():
    record = json.loads(json.dumps(SAMPLE.record()))
    assert record["kind"] == "sample"
    assert sample_from(record) == SAMPLE


def test_what_is_not_known_is_left_out():
    (card,) = SAMPLE.record()["gpus"]
    assert "sm_clock" not in card
    assert card["throttle"] == 0
    assert set(Sample(time=1.0).record()) == {"kind", "time"}


def test_used_is_what_cannot_be_had():
    assert SAMPLE.host is not None
    assert SAMPLE.host.used_bytes == 56 * GIB


@pytest.mark.parametrize(
    "record",
    [
        {"step": 3, "loss": 2.5},
        {"kind": "sample"},
        {"kind": "sample", "time": "noon"},
        {"kind": "sample", "time": 1.0, "gpus": [{"index": 0}]},
        {"kind": "sample", "time": 1.0, "gpus": [{"index": 0, "used_bytes": "many", "total_bytes": 1}]},
        {"kind": "sample", "time": 1.0, "gpus": 3},
        {"kind": "sample", "time": 1.0, "host": None},
    ],
)
def test_a_damaged_record_is_no_sample(record):
    assert sample_from(record) is None


def test_a_record_of_a_later_version_is_read():
    record = SAMPLE.record() | {"novelty": 1}
    record["gpus"][0]["novelty"] = 2
    assert sample_from(record) == SAMPLE
