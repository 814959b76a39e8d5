from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.plans import make_plan, make_recipe
from tunekit import __version__
from tunekit.worker.adapters import add_adapters
from tunekit.worker.card import card_text, loading_code, write_card
from tunekit.worker.model import load_model, load_tokenizer
from tunekit.worker.saving import save_model_files
from tunekit.worker.world import World

pytestmark = pytest.mark.train
SUCCESS = {"steps": 1200, "loss_last": 0.5, "eval_loss": None}
HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"


def hub_plan(**changes: Any) -> Any:
    return make_plan(recipe=make_recipe(model={"path": HUB}), **changes)


def test_the_card_says_what_it_is_and_no_more() -> None:
    plan = hub_plan()
    text = card_text(plan, SUCCESS, base=HUB, chats=True)
    for line in (
        f"base_model: {HUB}",
        "library_name: peft",
        f"- base model: {HUB}",
        "- method: lora, rank 8, alpha 16",
        f"- data: {plan.recipe.data.path}",
        f"- steps: 1,200, each of {plan.job.batch.global_batch_size} rows",
        "- last loss: 0.5000",
        f"- made by: tunekit {__version__}",
    ):
        assert line in text.splitlines()
    assert "held-out" not in text
    assert f'local_model_dir("{HUB}")' in text


def test_a_folder_of_this_machine_is_no_name_on_the_hub() -> None:
    text = card_text(hub_plan(), SUCCESS, base="/models/mine", chats=True)
    assert "base_model:" not in text
    assert "local_model_dir" not in text
    assert "- base model: /models/mine" in text


def test_without_a_chat_template_the_question_is_plain_text() -> None:
    assert "apply_chat_template" not in loading_code(hub_plan(), base=HUB, chats=False)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_the_code_on_the_card_loads_the_result_and_answers(
    tiny_model: Path,
    plan_tiny: Any,
    tmp_path: Path,
    lonely_world: World,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = plan_tiny(method={"kind": kind})
    model = add_adapters(load_model(plan, tiny_model, lonely_world), plan)
    trainer: Any = SimpleNamespace(plan=plan, model=model, processing_class=load_tokenizer(plan, tiny_model))
    final = tmp_path / "final"
    save_model_files(trainer, final, lonely_world)
    write_card(final, plan, SUCCESS)
    code = (final / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(final)
    exec(code, {})
    assert "What can you do?" in capsys.readouterr().out
