from __future__ import annotations

import io

import pytest
from rich.console import Console, Group

from tests.plans import CPU_BOX, make_plan
from tests.runs import steps, write_lines, write_run
from tunekit.launcher.progress import Progress, fold
from tunekit.render.live import PHASE_WORDS, LiveView, sparkline, step_line, training_frame, waiting_frame
from tunekit.units import GIB
from tunekit.watch.sample import HostSample, Sample


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def shown(tmp_path):
    """A view that writes plain text, with its run, its clock and what it wrote."""
    run_dir = write_run(tmp_path / "run", make_plan())
    clock, output = Clock(), io.StringIO()
    view = LiveView(run_dir, make_plan(), Console(file=output, width=200), clock=clock)
    with view:
        yield view, run_dir, clock, lambda: output.getvalue().splitlines()


def phase(name, moment=0.0):
    return {"event": "phase", "phase": name, "time": moment}


def test_phases_are_lines_with_the_time(shown):
    view, run_dir, clock, lines = shown
    view.report("looking at this machine")
    clock.now = 4.0
    write_lines(run_dir.events, [phase("start"), phase("model")])
    view.update()
    view.update()
    assert lines() == ["[  0 s] looking at this machine …", "[  4 s] loading the model …"]


def test_the_preparation_shows_its_last_line_now_and_then(shown):
    view, _, clock, lines = shown
    for second in range(12):
        clock.now = float(second)
        view.report(f"compiling cpu_adam: [{second}/3] c++ …")
    assert lines() == [
        "[  0 s] compiling cpu_adam …",
        "[  5 s] [5/3] c++ …",
        "[ 10 s] [10/3] c++ …",
    ]


def test_steps_are_lines_every_few_seconds_and_at_both_ends(shown):
    view, run_dir, clock, lines = shown
    for step in range(1, 11):
        clock.now = float(step)
        write_lines(run_dir.metrics, steps(3.0 - step / 10, first=step))
        view.update()
    told = [line.split("  loss")[0] for line in lines()]
    assert told == ["[  1 s] step 1/10", "[  6 s] step 6/10", "[ 10 s] step 10/10"]
    assert "100 tokens/s" in lines()[0]


def test_notes_appear_once(shown):
    view, run_dir, _, lines = shown
    write_lines(run_dir.events, [{"event": "warning", "text": "3 rows were cut"}, {"event": "checkpoint", "step": 5}])
    view.update()
    view.update()
    assert lines() == ["warning: 3 rows were cut", "checkpoint saved at step 5"]


def test_records_are_shown_in_the_order_they_happened(shown):
    view, run_dir, _, lines = shown
    write_lines(run_dir.events, [phase("samples after", 2000.0)])
    write_lines(run_dir.metrics, steps(2.0, max_steps=1))
    view.update()
    assert [line[8:16] for line in lines()] == ["step 1/1", "answerin"]


def test_ranks_that_wait_for_one_that_hangs_say_so_once(shown):
    view, run_dir, clock, lines = shown
    write_lines(run_dir.events, [phase("process group")])
    for second in (0.0, 170.0, 190.0, 400.0):
        clock.now = second
        view.update()
    assert lines()[1:] == [f"not all ranks are there yet; `tunekit logs {run_dir.path} --rank 1` shows what one does"]


def test_a_long_training_is_no_reason_to_wonder(shown):
    view, run_dir, clock, lines = shown
    write_lines(run_dir.events, [phase("train")])
    view.update()
    clock.now = 4000.0
    view.update()
    assert len(lines()) == 1


def test_after_an_interrupt_phases_are_silent(shown):
    view, run_dir, _, lines = shown
    view.interrupt("stopping: the ranks save")
    write_lines(run_dir.events, [phase("stopped")])
    view.update()
    assert lines() == ["[  0 s] stopping: the ranks save"]


def rendered(renderable):
    output = io.StringIO()
    Console(file=output, width=120, color_system=None).print(renderable)
    return output.getvalue()


def test_the_bar_has_loss_speed_time_left_and_memory_against_the_plan():
    plan = make_plan(CPU_BOX)
    progress = fold(Progress(), steps(3.0, 2.0, 1.0, host_bytes=2 * GIB))
    text = rendered(training_frame(progress, plan))
    for part in ("3/10 steps", "7 s left", "loss 1.0000 █▅▁", "100 tokens/s", "host 2.0 GiB of 4.0 GiB planned"):
        assert part in text
    assert "GPU" not in text


def test_on_a_narrow_terminal_the_bar_gives_way_and_nothing_wraps():
    progress = fold(Progress(), steps(3.0, 2.0, max_steps=20_000, host_bytes=2 * GIB))
    assert len(narrow(training_frame(progress, make_plan())).splitlines()) == 2
    assert len(narrow(waiting_frame("compiling all the ops of DeepSpeed, one by one", 9.0)).splitlines()) == 1
    assert "2/20000 steps 5 h 33 min left" in narrow(training_frame(progress, make_plan()))


def test_the_machine_stands_below_the_bar_beside_the_plan():
    host = HostSample(total_bytes=64 * GIB, available_bytes=60 * GIB)
    progress = fold(Progress(), [*steps(3.0, 2.0), Sample(time=1.0, host=host).record()])
    text = rendered(training_frame(progress, make_plan()))
    assert "RAM plan 4.0 GiB | now 4.0 GiB of 64.0 GiB in use" in text
    assert len(narrow(training_frame(progress, make_plan())).splitlines()) == 3


def test_a_finding_of_the_watch_is_said(shown):
    view, run_dir, _, lines = shown
    write_lines(run_dir.events, [{"event": "watch", "text": "GPU 0 is hot", "todo": "cool it", "change": "began"}])
    view.update()
    assert lines() == ["warning: GPU 0 is hot; cool it"]


def narrow(renderable):
    output = io.StringIO()
    Console(file=output, width=42, color_system=None).print(Group(renderable))
    return output.getvalue()


def test_waiting_says_for_how_long():
    assert "loading the model … 12 s" in rendered(waiting_frame("loading the model", 12.0))


@pytest.mark.parametrize("error", [SystemExit(1), OSError(28, "No space left on device")])
def test_output_that_cannot_be_written_ends_no_run(shown, monkeypatch, error):
    """What rich raises for `| head`, and what a full disk behind `> log` does."""
    view, run_dir, _, _ = shown

    def fail(*values, **more):
        raise error

    monkeypatch.setattr(view._console, "print", fail)
    view.report("looking at this machine")
    write_lines(run_dir.metrics, steps(3.0, 2.0))
    write_lines(run_dir.events, [{"event": "warning", "text": "3 rows were cut"}])
    view.update()
    assert view.progress.step == 2


def test_a_terminal_gets_a_live_frame(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, color_system=None)
    with LiveView(run_dir, make_plan(), console) as view:
        view.report("looking at this machine")
        assert "looking at this machine" in rendered(view._frame())
        write_lines(run_dir.events, [phase("train")])
        write_lines(run_dir.metrics, steps(3.0, 2.0))
        view.update()
        assert "2/10 steps" in rendered(view._frame())
        view.interrupt("stopping")
        assert "stopping" in rendered(view._frame())


@pytest.mark.parametrize(
    ("values", "curve"),
    [((3.0, 2.0, 1.0), "█▅▁"), ((2.0, 2.0), "▄▄"), ((), ""), ((1.0, float("nan"), 2.0), "▁!█"), ((float("inf"),), "!")],
)
def test_curves(values, curve):
    assert sparkline(values) == curve


def test_a_line_without_memory_or_speed():
    assert step_line(Progress(step=1, losses=(2.0,)), make_plan()) == "step 1/?  loss 2.0000"


def test_every_phase_of_the_worker_has_its_words():
    import re
    from pathlib import Path

    import tunekit

    folder = Path(tunekit.__file__).parent / "worker"
    found = re.findall(r'journal\.enter\("([a-z ]+)"', "".join(path.read_text() for path in folder.rglob("*.py")))
    assert len(set(found)) > 8
    assert set(found) <= set(PHASE_WORDS)
