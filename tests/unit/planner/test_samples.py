import json
from pathlib import Path

from planning import LLAMA_8B, machine, recipe_for, shape_of

from tunekit.planner.fit import find_plans
from tunekit.planner.make import make_plan
from tunekit.planner.samples import ASSUMED_TOKENS, assumed_samples, samples_of

WORDS = 128_256


def _rows(file: Path, words: int, count: int = 40) -> str:
    file.write_text("".join(json.dumps({"text": "word" * words}) + "\n" for _ in range(count)))
    return str(file)


def test_what_cannot_be_read_here_is_assumed_and_said_to_be() -> None:
    found = samples_of(recipe_for(data__path="owner/rows"), WORDS)
    assert found == assumed_samples("owner/rows", 2048)
    assert (found.mean_tokens, found.assumed) == (ASSUMED_TOKENS, True)
    assert samples_of(recipe_for(data__path="owner/rows", train__max_seq_length=256), WORDS).mean_tokens == 128


def test_a_local_file_is_read(tmp_path: Path) -> None:
    found = samples_of(recipe_for(data__path=_rows(tmp_path / "x.jsonl", 100)), WORDS)
    assert (found.mean_tokens, found.assumed) == (100, False)


def test_plan_and_fit_count_with_the_same_length(tmp_path: Path) -> None:
    recipe = recipe_for(LLAMA_8B, data__path=_rows(tmp_path / "x.jsonl", 300), data__packing=False)
    planned = make_plan(recipe, shape_of(LLAMA_8B), machine())
    found = find_plans(recipe, shape_of(LLAMA_8B), machine())
    assert found.plan is not None
    assert planned.job.samples == found.plan.job.samples
    assert planned.speed is not None
    assert planned.speed.tokens_per_step == 300 * planned.job.batch.global_batch_size


def test_short_samples_are_packed_and_those_that_fill_a_row_are_not(tmp_path: Path) -> None:
    for words, packing in ((60, True), (3000, False)):
        recipe = recipe_for(LLAMA_8B, data__path=_rows(tmp_path / f"{words}.jsonl", words))
        best = find_plans(recipe, shape_of(LLAMA_8B), machine()).recommended
        assert best is not None
        assert best.packing is packing
    unread = find_plans(recipe_for(LLAMA_8B), shape_of(LLAMA_8B), machine()).recommended
    assert unread is not None
    assert unread.packing


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    recipe = recipe_for(data__path=_rows(tmp_path / "x.jsonl", 100))
    assert samples_of(recipe, WORDS).mean_tokens == 100
    _rows(tmp_path / "x.jsonl", 50)
    assert samples_of(recipe, WORDS).mean_tokens == 50
