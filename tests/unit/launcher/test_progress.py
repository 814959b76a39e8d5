from __future__ import annotations

from tests.runs import steps
from tunekit.launcher.progress import CURVE, Progress, fold, rehearsal_note
from tunekit.watch.sample import Sample


def test_steps_are_folded():
    progress = fold(Progress(), steps(3.0, 2.0, 1.5, gpu_bytes=7, host_bytes=9))
    assert (progress.step, progress.max_steps, progress.losses) == (3, 10, (3.0, 2.0, 1.5))
    assert (progress.gpu_bytes, progress.host_bytes, progress.tokens_per_second) == (7, 9, 100.0)


def test_time_left_is_from_the_recent_steps():
    progress = fold(Progress(), steps(3.0, 2.0))
    assert progress.seconds_per_step == 1.0
    assert progress.seconds_left == 8.0
    slow = [{"step": step, "loss": 1.0, "seconds": 5.0} for step in range(3, 12)]
    assert fold(progress, slow).seconds_per_step == 5.0


def test_a_clock_that_is_set_changes_no_speed():
    records = steps(3.0, 2.0, 1.0)
    records[1]["time"] = -86400.0
    assert fold(Progress(), records).seconds_per_step == 1.0


def test_of_a_long_run_only_the_newest_losses_are_kept():
    progress = fold(Progress(), steps(*(float(number) for number in range(5000))))
    assert (len(progress.losses), progress.losses[-1]) == (CURVE, 4999.0)


def test_logging_every_tenth_step():
    records = [{"step": step, "max_steps": 100, "loss": 1.0, "seconds": 30.0} for step in (10, 20, 30)]
    progress = fold(Progress(), records)
    assert progress.seconds_per_step == 3.0
    assert progress.seconds_left == 210.0


def test_nothing_is_left_to_guess_before_two_steps():
    assert fold(Progress(), steps(3.0)).seconds_left is None
    assert Progress().seconds_left is None


def test_events():
    progress = fold(
        Progress(),
        [
            {"event": "phase", "phase": "model", "time": 5.0},
            {"event": "warning", "text": "3 rows were cut"},
            {"event": "checkpoint", "step": 20},
            {"event": "something new"},
            {"step": 4, "eval_loss": 2.25},
        ],
    )
    assert (progress.phase, progress.phase_since, progress.eval_loss) == ("model", 5.0, 2.25)
    assert progress.notes == ("warning: 3 rows were cut", "checkpoint saved at step 20")


def test_the_recognised_data_is_shown_with_its_first_row():
    data = {
        "event": "data",
        "format": "messages",
        "rows": 1411,
        "num_rows": 140,
        "packed": True,
        "tokens": 33112,
        "supervised_tokens": 16060,
        "example": "<|user|>\nHi\n" + "x" * 400,
    }
    (note,) = fold(Progress(), [data]).notes
    first, second = note.splitlines()
    assert first == "data: 1,411 rows read as messages, packed into 140, 33,112 tokens, 16,060 of them learned"
    assert second == "first row: <|user|>⏎Hi⏎" + "x" * 228 + " …"
    fewer = {"empty_rows": 10, "masked_rows": 1, "num_eval_rows": 40, "eval_of_these": True}
    (left,) = fold(Progress(), [{**data, **fewer}]).notes
    assert left.startswith("data: 1,411 rows read as messages, 11 of them dropped, 40 held out, packed into 140, ")
    (named,) = fold(Progress(), [{**data, **fewer, "eval_of_these": False}]).notes
    assert named.startswith("data: 1,411 rows read as messages, 11 of them dropped, packed into 140, ")
    (odd,) = fold(Progress(), [{**data, "tokens": None, "rows": "many", "num_rows": "few"}]).notes
    assert odd.startswith("data: ? rows read as messages, packed into ?, ? tokens, 16,060")
    (stream,) = fold(Progress(), [{**data, "num_rows": None, "example": "short"}]).notes
    assert stream == "data: 1,411 rows read as messages, 33,112 tokens, 16,060 of them learned\nfirst row: short"


def test_a_rehearsal_is_told_with_what_was_planned():
    record = {
        "event": "rehearsal",
        "device_bytes": 18 * 2**30,
        "expected_device_bytes": 20 * 2**30,
        "host_bytes": 0,
        "expected_host_bytes": 2**30,
        "seconds": 31.0,
        "without_optimizer": None,
    }
    assert fold(Progress(), [record]).notes == ("rehearsed in 31 s: GPU 18.0 GiB of 20.0 GiB planned",)
    assert rehearsal_note({**record, "without_optimizer": "its states lie in swap files"}).endswith(
        "; without the optimizer: its states lie in swap files"
    )


def test_findings_of_the_watch_are_notes_with_what_to_type():
    hot = {"event": "watch", "text": "GPU 0 is at 90 °C", "todo": "cool it", "change": "began", "stops": False}
    short = {"event": "watch", "text": "500 MiB of RAM left", "todo": "add swap", "change": "began", "stops": True}
    progress = fold(Progress(), [hot, short, {**hot, "change": "ended"}])
    assert progress.notes == (
        "warning: GPU 0 is at 90 °C; cool it",
        "stopping: 500 MiB of RAM left",
        "watch: over: GPU 0 is at 90 °C",
    )


def test_the_newest_sample_is_kept_and_is_no_step():
    progress = fold(Progress(), [*steps(3.0), Sample(time=1.0).record(), Sample(time=2.0).record()])
    assert progress.sample == Sample(time=2.0)
    assert (progress.step, progress.losses) == (1, (3.0,))
