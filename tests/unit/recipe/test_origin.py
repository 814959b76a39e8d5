from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import RecipeError
from tunekit.recipe.loading import load_recipe, origin_of
from tunekit.recipe.origin import Origin

SMALL: dict[str, Any] = {"model": {"path": "a/b"}, "data": {"path": "d.jsonl"}, "output": {"dir": "runs/x"}}


@pytest.mark.parametrize(
    "words",
    [
        ["zero.stage=auto"],
        ["zero.preset=z3", "zero.stage=auto"],
        ["train.max_seq_length=512"],
        ["method.kind=full", "train.learning_rate=auto"],
        ["hardware=a100_80gb", "zero.pin_memory=false"],
    ],
)
def test_words_behind_give_what_the_loader_gives_with_all_of_them(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "base.yaml").write_text("zero: {preset: z2_offload, pin_memory: true}\nmethod: {rank: 32}\n")
    file = tmp_path / "r.yaml"
    file.write_text(
        "base: base.yaml\nmodel: {path: a/b}\ndata: {path: d.jsonl}\noutput: {dir: runs/x}\n"
        "method: {kind: qlora, alpha: '${method.rank}'}\ntrain: {eval_steps: null, micro_batch_size: 2}\n"
    )
    typed = ["zero.stage=0", "train.seed=3"]
    kept = [word for word in typed if word.partition("=")[0] not in {each.partition("=")[0] for each in words}]
    assert load_recipe(file, typed).origin.behind(words) == load_recipe(file, [*kept, *words]).recipe


def test_a_reference_follows_what_is_typed() -> None:
    origin = load_recipe({**SMALL, "method": {"rank": 8, "alpha": "${method.rank}"}}).origin
    assert origin.behind(["method.rank=4"]).method.alpha == 4


def test_what_the_file_says_comes_back_where_the_word_that_replaced_it_is_open() -> None:
    origin = load_recipe({**SMALL, "zero": {"preset": "z3"}}, ["zero.stage=0"]).origin
    assert origin.states("zero.preset")
    assert not origin.states("zero.stage")
    assert origin.behind(["zero.stage=auto"]).zero.preset == "z3"


@pytest.mark.parametrize("words", [["train.max_seq_length=1"], ["nonsense"], ["zero.preset=z3", "zero.stage=2"]])
def test_what_the_loader_refuses_is_refused(words: list[str]) -> None:
    with pytest.raises(RecipeError):
        Origin(file=SMALL).behind(words)


def test_rivals_are_typed_keys_that_the_words_replace_by_another_way_to_say_it() -> None:
    origin = Origin(file=SMALL, typed=("zero.stage=2", "zero.offload_optimizer=cpu", "train.seed=3"))
    assert tuple(origin.rivals(["zero.preset=z3"])) == ("zero.stage", "zero.offload_optimizer")
    assert tuple(origin.rivals(["zero.stage=3"])) == ()
    assert tuple(Origin(file={**SMALL, "zero": {"stage": 2}}).rivals(["zero.preset=z3"])) == ()


def test_a_recipe_that_is_all_there_is_comes_back_as_it_was() -> None:
    recipe = load_recipe({**SMALL, "zero": {"stage": 3}, "method": {"kind": "full"}}).recipe
    assert origin_of(recipe).behind([]) == recipe
