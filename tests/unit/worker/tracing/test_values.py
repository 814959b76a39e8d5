from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tunekit.worker.tracing import values  # noqa: E402

pytestmark = pytest.mark.train


def test_whole_numbers_are_followed_where_all_inputs_are_known() -> None:
    known = values.remember(torch.empty(3, dtype=torch.int64), torch.tensor([1, 2, 3]))
    made = torch.empty(3, dtype=torch.int64)
    values.follow(torch.ops.aten.add.Tensor, (known, known), {}, made)
    assert values.known(made).tolist() == [2, 4, 6]
    unknown = torch.empty(3, dtype=torch.int64)
    values.follow(torch.ops.aten.add.Tensor, (known, torch.empty(3)), {}, unknown)
    assert values.known(unknown) is None


def test_fractions_are_never_followed() -> None:
    known = values.remember(torch.empty(3), torch.ones(3))
    made = torch.empty(3)
    values.follow(torch.ops.aten.mul.Tensor, (known, known), {}, made)
    assert values.known(made) is None


def test_experts_are_chosen_equally_often() -> None:
    scores = torch.empty(6, 4)
    made = (torch.empty(6, 2), torch.empty(6, 2, dtype=torch.int64))
    values.follow(torch.ops.aten.topk.default, (scores, 2), {}, made)
    assert torch.bincount(values.known(made[1]).flatten()).tolist() == [3, 3, 3, 3]


def test_a_number_that_is_not_known_is_said() -> None:
    assert values.scalar(values.remember(torch.empty(()), torch.tensor(7))) == 7
    with pytest.raises(values.UnknownValue, match="decides by a floating-point result"):
        values.scalar(torch.empty(()))


def test_masks_become_positions() -> None:
    mask = values.remember(torch.empty(3, dtype=torch.bool), torch.tensor([True, False, True]))
    places = torch.tensor([1])
    found = values.by_position([mask, places, None], lambda real: real)
    assert found[0].tolist() == [0, 2]
    assert found[1:] == [places, None]
    with pytest.raises(values.UnknownValue, match="picks elements"):
        values.by_position([torch.empty(3, dtype=torch.bool)], lambda real: real)
