"""Event files that TensorBoard itself reads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tunekit.backends.board import Board, scalars
from tunekit.units import GIB
from tunekit.watch.sample import DriveSample, GpuSample, HostSample, Sample

pytestmark = pytest.mark.train

SAMPLE = Sample(
    time=1000.0,
    gpus=(GpuSample(index=1, used_bytes=17 * GIB, total_bytes=24 * GIB, celsius=71, watts=380.5),),
    host=HostSample(total_bytes=96 * GIB, available_bytes=40 * GIB),
    drives=(DriveSample(purpose="output", path="/runs", free_bytes=5 * GIB, total_bytes=9 * GIB),),
    step_seconds=2.5,
)


def test_every_number_has_its_tag_and_what_is_not_known_has_none():
    found = dict(scalars(SAMPLE))
    assert found["gpu1/memory_gib"] == 17
    assert found["gpu1/celsius"] == 71
    assert found["host/ram_used_gib"] == 56
    assert found["disk/output_free_gib"] == 5
    assert found["step_seconds"] == 2.5
    assert "gpu1/sm_clock_mhz" not in found
    assert list(scalars(Sample(time=1.0))) == []


def test_tensorboard_reads_what_was_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path)
    board.write(SAMPLE)
    board.write(Sample(time=1010.4, host=SAMPLE.host))
    board.close()
    events = EventAccumulator(str(tmp_path / "machine")).Reload()
    points = events.Scalars("host/ram_used_gib")
    assert [(point.step, point.wall_time, point.value) for point in points] == [(0, 1000.0, 56.0), (10, 1010.4, 56.0)]
    assert [point.value for point in events.Scalars("gpu1/watts")] == [380.5]


def test_no_torch_is_loaded(tmp_path):
    code = f"""
import sys
from pathlib import Path
from tunekit.backends.board import Board
from tunekit.watch.sample import Sample
board = Board(Path({str(tmp_path)!r}))
board.write(Sample(time=1.0, step_seconds=1.0))
assert not {{"torch", "tensorflow"}} & set(sys.modules), "a heavy library was loaded"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_closing_what_was_never_opened(tmp_path):
    Board(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
