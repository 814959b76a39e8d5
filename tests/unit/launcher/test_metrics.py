from __future__ import annotations

from tests.plans import make_plan
from tests.runs import steps, write_lines, write_run
from tunekit.launcher.metrics import has_steps, step_records
from tunekit.watch.sample import Sample


def test_samples_of_the_machine_are_no_steps(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    assert not has_steps(run_dir)
    write_lines(run_dir.metrics, [Sample(time=1.0).record()])
    assert not has_steps(run_dir)
    write_lines(run_dir.metrics, [*steps(3.0), {"step": 1, "eval_loss": 2.0}, Sample(time=2.0).record()])
    assert has_steps(run_dir)
    assert [record["step"] for record in step_records(run_dir)] == [1, 1]
