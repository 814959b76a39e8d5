from __future__ import annotations

import pytest

from tunekit.planner.batch import BatchWish, batch_decisions, check_batch, micro_candidates, solve_batch
from tunekit.recipe.schema import TrainSection


def wish(
    micro: int | None = None, accumulation: int | None = None, total: int | None = None, world: int = 2
) -> BatchWish:
    return BatchWish(micro=micro, accumulation=accumulation, total=total, world_size=world)


def test_the_wish_is_read_off_the_recipe() -> None:
    train = TrainSection(micro_batch_size=2, global_batch_size=16)
    assert BatchWish.of(train, 4) == wish(micro=2, total=16, world=4)


@pytest.mark.parametrize(
    ("asked", "candidates"),
    [
        (wish(), (8, 4, 2, 1)),
        (wish(world=1), (8, 4, 2, 1)),
        (wish(world=8), (2, 1)),
        (wish(world=3), (6, 3, 2, 1)),
        (wish(total=12), (6, 3, 2, 1)),
        (wish(total=14), (7, 1)),
        (wish(micro=3), (3,)),
        (wish(accumulation=4, total=24), (3,)),
        (wish(accumulation=4), (2, 1)),
        (wish(accumulation=64), (1,)),
    ],
)
def test_micro_batches_that_keep_the_identity(asked: BatchWish, candidates: tuple[int, ...]) -> None:
    assert micro_candidates(asked) == candidates


def test_a_limit_on_the_micro_batch_holds() -> None:
    assert micro_candidates(wish(), largest=1) == (1,)


@pytest.mark.parametrize(
    ("asked", "micro", "steps"),
    [
        (wish(), 1, 8),
        (wish(), 8, 1),
        (wish(world=3), 2, 3),
        (wish(micro=3), 3, 3),
        (wish(accumulation=5), 1, 5),
        (wish(total=64), 4, 8),
        (wish(micro=2, accumulation=4, total=16), 2, 4),
    ],
)
def test_the_accumulation_follows(asked: BatchWish, micro: int, steps: int) -> None:
    assert solve_batch(asked, micro).gradient_accumulation_steps == steps


@pytest.mark.parametrize("asked", [wish(), wish(total=16), wish(micro=4, total=16), wish(micro=2, accumulation=3)])
def test_sizes_that_agree_are_no_problem(asked: BatchWish) -> None:
    assert check_batch(asked) == ()


def test_a_batch_that_the_processes_cannot_share_names_the_nearest() -> None:
    (problem,) = check_batch(wish(total=15))
    assert problem.key == "train.global_batch_size"
    assert problem.found == "15 rows cannot be shared by 2 processes"
    assert problem.hint == "nearest that work: 14 or 16"


def test_a_batch_smaller_than_one_pass_names_the_one_that_works() -> None:
    (problem,) = check_batch(wish(micro=4, total=4, world=8))
    assert problem.found == "4 rows cannot be shared by micro_batch_size 4 x 8 processes = 32"
    assert problem.hint == "nearest that work: 32"


def test_three_sizes_that_disagree_are_shown_with_their_product() -> None:
    (problem,) = check_batch(wish(micro=1, accumulation=4, total=16))
    assert "micro_batch_size 1 x gradient_accumulation_steps 4 x 2 processes = 8" in problem.found
    assert problem.hint == "write train.gradient_accumulation_steps=8 or train.global_batch_size=8"


def test_three_sizes_without_a_whole_accumulation_offer_the_product() -> None:
    (problem,) = check_batch(wish(micro=3, accumulation=2, total=16))
    assert problem.hint == "write global_batch_size=12, or leave one of the three out"


def test_only_what_was_left_out_is_decided() -> None:
    asked = wish(micro=1, total=16)
    decisions = batch_decisions(asked, solve_batch(asked, 1), micro_reason="unused")
    assert [(each.key, each.value) for each in decisions] == [("train.gradient_accumulation_steps", "8")]
    assert decisions[0].reason == "16 rows / (1 x 2 processes)"


def test_everything_left_out_is_decided_with_reasons() -> None:
    asked = wish(world=3)
    decisions = batch_decisions(asked, solve_batch(asked, 2), micro_reason="the largest that fits")
    assert [each.value for each in decisions] == ["2", "3", "18"]
    assert decisions[0].reason == "the largest that fits"
    assert decisions[2].reason == "the first size from 16 up that 3 processes can share"
    alone = wish(world=1)
    assert batch_decisions(alone, solve_batch(alone, 1), micro_reason="")[1].reason == "16 rows / (1 x 1 process)"


def test_the_usual_size_and_a_given_accumulation_have_their_own_reasons() -> None:
    usual, given = wish(), wish(accumulation=5)
    assert batch_decisions(usual, solve_batch(usual, 1), micro_reason="")[2].reason.startswith("the usual size")
    assert batch_decisions(given, solve_batch(given, 1), micro_reason="")[1].reason == "1 x 5 x 2 processes"


def test_more_rows_than_can_be_counted_are_refused() -> None:
    wish = BatchWish(micro=10**12, accumulation=None, total=None, world_size=2)
    (problem,) = check_batch(wish)
    assert problem.key == "train.micro_batch_size"
    assert problem.found == "2,000,000,000,000 rows per optimizer step on 2 processes"
