from __future__ import annotations

from tests.plans import make_plan
from tests.runs import steps, write_json, write_lines, write_run
from tunekit.launcher.attempts import archive_attempt
from tunekit.launcher.story import story_of
from tunekit.planner.plan_json import plan_to_json
from tunekit.recipe.job import Batch

NARROW = Batch(micro_batch_size=1, gradient_accumulation_steps=4, world_size=2)
WIDE = Batch(micro_batch_size=2, gradient_accumulation_steps=2, world_size=2)


def begin(run_dir, number, *, resume_from=None, **job):
    write_json(run_dir.launch, {"attempt": number, "resume_from": resume_from})
    if job:
        write_json(run_dir.plan, plan_to_json(make_plan(**job)))


def test_a_run_that_ran_out_of_memory_and_went_on(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan(batch=WIDE))
    write_lines(run_dir.metrics, steps(3.0, 2.9, 2.8, max_steps=8))
    write_json(run_dir.result, {"state": "failed", "said": "the card ran out of memory"})
    archive_attempt(run_dir, with_plan=True)
    begin(run_dir, 2, resume_from="/x/checkpoints/checkpoint-2", batch=NARROW)
    write_lines(run_dir.metrics, steps(2.8, 2.7, first=3, max_steps=8))
    going = story_of(run_dir)
    write_json(run_dir.success, {"steps": 8})
    assert [str(chapter) for chapter in going] == [
        "attempt 1: failed at step 3 of 8: the card ran out of memory",
        "attempt 2: with train.micro_batch_size=1 train.gradient_accumulation_steps=4, from checkpoint-2: "
        "going on at step 4 of 8",
    ]
    assert str(story_of(run_dir)[1]).endswith("done at step 4 of 8")


def test_an_attempt_without_a_plan_of_its_own_had_that_of_the_next(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan(batch=WIDE))
    write_json(run_dir.result, {"state": "stopped"})
    archive_attempt(run_dir)
    begin(run_dir, 2, resume_from="/x/checkpoint-4")
    write_json(run_dir.result, {"state": "failed", "said": "the disk is full"})
    archive_attempt(run_dir, with_plan=True)
    begin(run_dir, 3, batch=NARROW)
    one, two, three = story_of(run_dir)
    assert (one.ending, one.changes) == ("stopped", ())
    assert (two.since, two.changes, two.why) == ("checkpoint-4", (), "the disk is full")
    assert three.changes == ("train.micro_batch_size=1", "train.gradient_accumulation_steps=4")


def test_a_run_of_one_attempt_and_one_without_files(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    (only,) = story_of(run_dir)
    assert str(only) == "attempt 1: going on"
    run_dir.plan.unlink()
    assert story_of(run_dir)[0].changes == ()


def test_an_attempt_whose_end_nobody_saw_does_not_go_on(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    write_lines(run_dir.metrics, steps(3.0, 2.9))
    told = "ended at step 2 of 10: nobody watched its end, and its exit code is not known"
    assert str(story_of(run_dir, going=False)[0]) == f"attempt 1: {told}"
    archive_attempt(run_dir)
    begin(run_dir, 2)
    assert [str(chapter) for chapter in story_of(run_dir)] == [f"attempt 1: {told}", "attempt 2: going on"]
