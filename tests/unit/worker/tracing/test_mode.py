from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

from tunekit.worker.tracing.mode import TracingMode  # noqa: E402
from tunekit.worker.tracing.storages import Ledger  # noqa: E402
from tunekit.worker.tracing.values import UnknownValue  # noqa: E402

pytestmark = pytest.mark.train
IDS = torch.tensor([[0, 1, 2, 0, 1]])
MASK = torch.tensor([True, False, True, True])


@pytest.fixture
def mode() -> Iterator[TracingMode]:
    fake = FakeTensorMode()
    with fake, TracingMode(fake, Ledger()) as entered:
        yield entered


def test_fake_tensors_are_counted_until_they_are_gone(mode: TracingMode) -> None:
    large = torch.empty(1024, 1024, 1024)
    assert [event.size for event in mode.ledger.events] == [4 * 1024**3]
    del large
    assert sum(event.size for event in mode.ledger.events) == 0


def test_code_may_decide_by_ids_and_masks(mode: TracingMode) -> None:
    ids = mode.known(IDS)
    assert bool((ids == 0).any())
    assert not bool((ids > 2).any())
    assert (ids == 0).nonzero().shape == (2, 2)
    assert int(ids.max()) == 2
    assert torch.equal(ids, ids.clone())


def test_masks_pick_as_many_rows_as_they_would(mode: TracingMode) -> None:
    assert torch.empty(4, 8)[mode.known(MASK)].shape == (3, 8)


def test_numbers_of_the_network_are_not_known(mode: TracingMode) -> None:
    with pytest.raises(UnknownValue):
        bool(torch.empty(3).sum() > 0)
