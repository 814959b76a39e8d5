from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tunekit.worker.tracing.storages import Ledger, kind_of  # noqa: E402

pytestmark = pytest.mark.train


def live(ledger: Ledger) -> int:
    return sum(event.size for event in ledger.events)


def test_a_storage_counts_once_and_until_its_last_view_is_gone() -> None:
    ledger, whole = Ledger(), torch.zeros(8)
    ledger.note((whole, [whole]))
    part = whole[2:]
    ledger.note(part)
    assert live(ledger) == 32
    del whole
    assert live(ledger) == 32
    del part
    assert live(ledger) == 0


def test_what_autograd_saves_lives_on() -> None:
    ledger = Ledger()
    leaf = torch.ones(4, requires_grad=True)
    doubled = leaf * 2
    ledger.note(doubled)
    squared = doubled * doubled
    del doubled
    assert live(ledger) == 16
    squared.sum().backward()
    del squared
    assert live(ledger) == 0


def test_a_resized_storage_counts_as_it_is() -> None:
    ledger, tensor = Ledger(), torch.zeros(4)
    ledger.note(tensor)
    tensor.untyped_storage().resize_(64)
    ledger.note(tensor)
    assert live(ledger) == 64


def test_weights_are_left_out() -> None:
    ledger, weight = Ledger(), torch.zeros(4)
    ledger.ignore(weight)
    ledger.note(weight.t())
    assert ledger.events == []


def test_gradients_of_shared_weights_are_known_by_their_sides_and_type() -> None:
    """Not by their bytes: float32 logits of 512 tokens are as large as the gradient of an embedding of 1,024 wide."""
    weight, logits = torch.zeros(6, 4, dtype=torch.bfloat16), torch.zeros(2, 6, dtype=torch.float32)
    ledger = Ledger(shared=frozenset({kind_of(weight)}), phase="loss")
    ledger.note(logits)
    assert ledger.gradients == set()
    ledger.note(torch.zeros(4, 6, dtype=torch.bfloat16))
    assert len(ledger.gradients) == 1


def test_gradients_are_known_by_their_serial() -> None:
    ledger, gradient = Ledger(), torch.zeros(4)
    ledger.mark_gradient(gradient)
    assert ledger.gradients == set()
    ledger.note(gradient)
    ledger.mark_gradient(gradient)
    assert ledger.gradients == {ledger.events[0].serial}


def test_events_carry_who_and_when() -> None:
    ledger = Ledger()
    with ledger.inside("eval"), ledger.made_by("inputs"):
        kept = torch.zeros(1)
        ledger.note(kept)
    assert (ledger.events[0].phase, ledger.events[0].module) == ("eval", "inputs")
    assert ledger.phase == "forward"
