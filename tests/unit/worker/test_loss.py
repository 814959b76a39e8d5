from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tunekit.worker.loss import learned_places, loss_of_learned, takes_logits_to_keep

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> torch.nn.Module:
    """The tiny model in fp32."""
    loaded: torch.nn.Module = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    return loaded


def batch() -> dict[str, torch.Tensor]:
    tokens = torch.arange(5, 85).reshape(2, 40)
    labels = tokens.clone()
    labels[0, :30] = -100
    labels[1, 5:] = -100
    return {"input_ids": tokens, "labels": labels}


def test_the_loss_is_the_models_own(model: torch.nn.Module) -> None:
    inputs = batch()
    loss, outputs = loss_of_learned(model, inputs, None)
    assert loss.item() == pytest.approx(model(**inputs).loss.item(), rel=1e-6)
    assert outputs.logits.shape[1] == 64


def test_so_are_its_gradients(model: torch.nn.Module) -> None:
    gradients = []
    for loss in (loss_of_learned(model, batch(), None)[0], model(**batch()).loss):
        model.zero_grad()
        loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert all(torch.allclose(one, two, rtol=1e-4, atol=1e-7) for one, two in zip(*gradients, strict=True))


def test_the_sum_is_divided_by_the_tokens_of_the_whole_step(model: torch.nn.Module) -> None:
    mean = loss_of_learned(model, batch(), None)[0].item()
    assert loss_of_learned(model, batch(), torch.tensor(28.0))[0].item() == pytest.approx(mean / 2)


def test_a_batch_without_anything_to_learn_is_a_zero_that_can_be_derived(model: torch.nn.Module) -> None:
    inputs = batch()
    inputs["labels"].fill_(-100)
    loss, _ = loss_of_learned(model, inputs, None)
    assert loss.item() == 0
    loss.backward()


def test_places_stand_before_learned_tokens_of_any_row() -> None:
    labels = torch.tensor([[7, -100, 8, -100, -100], [-100, -100, -100, -100, 9]])
    places, known = learned_places(labels, multiple=4)
    assert places.tolist() == [1, 3, 0, 0]
    assert known.tolist() == [True, True, False, False]


def test_full_multiples_get_no_filling() -> None:
    places, known = learned_places(torch.arange(9)[None], multiple=4)
    assert places.tolist() == list(range(8))
    assert known.all()


def test_models_that_cannot_leave_out_logits_are_known(model: torch.nn.Module) -> None:
    assert takes_logits_to_keep(model)
    assert not takes_logits_to_keep(torch.nn.Linear(1, 1))
