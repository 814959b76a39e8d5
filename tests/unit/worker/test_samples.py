from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunekit.worker.model import load_model, load_tokenizer
from tunekit.worker.samples import answer_samples, answering, as_chat, padded_left
from tunekit.worker.world import World

pytestmark = pytest.mark.train
PROMPTS = ["What colour is the car?", "Why?"]


@pytest.fixture
def ready(tiny_model: Path, plan_tiny: Any, lonely_world: World) -> tuple[Any, Any, Any, World]:
    """Model, tokenizer and plan with two questions."""
    plan = plan_tiny(output={"sample_prompts": PROMPTS, "sample_tokens": 5}, train={"precision": "fp32"})
    return load_model(plan, tiny_model, lonely_world), load_tokenizer(plan, tiny_model), plan, lonely_world


def test_every_question_is_answered_the_same_twice(ready: tuple[Any, Any, Any, World]) -> None:
    answers = answer_samples(*ready)
    assert len(answers) == len(PROMPTS)
    assert answer_samples(*ready) == answers


def test_an_answer_does_not_depend_on_its_neighbours(ready: tuple[Any, Any, Any, World]) -> None:
    model, tokenizer, plan, world = ready
    together = answer_samples(*ready)
    output = plan.recipe.output.model_copy(update={"sample_prompts": tuple(PROMPTS[1:])})
    alone = type(plan)(**{**vars_of(plan), "recipe": plan.recipe.model_copy(update={"output": output})})
    assert answer_samples(model, tokenizer, alone, world) == together[1:]


def vars_of(plan: Any) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


def test_no_question_no_work(plan_tiny: Any, lonely_world: World) -> None:
    assert answer_samples(None, None, plan_tiny(), lonely_world) == ()


def test_a_question_goes_through_the_chat_template(ready: tuple[Any, Any, Any, World]) -> None:
    tokenizer = ready[1]
    assert as_chat(tokenizer, "Why?") == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    tokenizer.chat_template = None
    assert as_chat(tokenizer, "Why?") == "Why?"


def test_everything_is_put_back(ready: tuple[Any, Any, Any, World]) -> None:
    model, tokenizer = ready[:2]
    tokenizer.padding_side, model.generation_config.temperature = "right", 0.6
    with padded_left(tokenizer), answering(model):
        assert (tokenizer.padding_side, model.generation_config.temperature) == ("left", None)
        assert not model.training
    assert (tokenizer.padding_side, model.generation_config.temperature) == ("right", 0.6)
    assert model.training
