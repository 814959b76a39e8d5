"""The README.md beside what was trained: what it is, and the Python that loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunekit import __version__
from tunekit.planner.plan import Plan
from tunekit.worker.model import base_name, model_folder

_QUESTION = "What can you do?"


def write_card(folder: Path, plan: Plan, success: Mapping[str, Any]) -> None:
    """Write `folder`/README.md, in place of the empty template that PEFT leaves there; `success` is success.json's."""
    base = base_name(plan, model_folder(plan))
    chats = (folder / "chat_template.jinja").is_file()
    (folder / "README.md").write_text(card_text(plan, success, base=base, chats=chats), encoding="utf-8")


def card_text(plan: Plan, success: Mapping[str, Any], *, base: str, chats: bool) -> str:
    """The card in Markdown; `base` is a hub id or a folder, `chats` says whether there is a chat template."""
    kind = "model" if plan.job.adapter is None else "adapter"
    sections = (
        _front_matter(plan, base),
        f"# {kind.capitalize()} from {plan.recipe.model.path}",
        "\n".join(f"- {name}: {value}" for name, value in _facts(plan, success, base).items()),
        "## Load it",
        "In this folder, with `transformers` and `peft`:" if plan.job.adapter else "In this folder:",
        f"```python\n{loading_code(plan, base=base, chats=chats)}\n```",
        *_without_hub(plan, base),
    )
    return "\n\n".join(sections) + "\n"


def loading_code(plan: Plan, *, base: str, chats: bool) -> str:
    """The lines that load the result from the current folder and ask it a question."""
    options = 'dtype="auto"' + (", trust_remote_code=True" if plan.recipe.model.trust_remote_code else "")
    question = next(iter(plan.recipe.output.sample_prompts), _QUESTION)
    if plan.job.adapter is None:
        load = ['here = "."', f"model = AutoModelForCausalLM.from_pretrained(here, {options})"]
    else:
        whole = f"AutoModelForCausalLM.from_pretrained(base, {options})"
        load = [f'here, base = ".", {json.dumps(base)}', f"model = PeftModel.from_pretrained({whole}, here)"]
    asked = json.dumps(question, ensure_ascii=False)
    chat = f'[{{"role": "user", "content": {asked}}}], add_generation_prompt=True, return_tensors="pt"'
    tokens = f"tokenizer.apply_chat_template({chat}, return_dict=True)"
    return "\n".join(
        [
            *(["from peft import PeftModel"] if plan.job.adapter else []),
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            *load,
            "tokenizer = AutoTokenizer.from_pretrained(here)",
            f"inputs = {tokens}" if chats else f'inputs = tokenizer({asked}, return_tensors="pt")',
            "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0], skip_special_tokens=True))",
        ]
    )


def _front_matter(plan: Plan, base: str) -> str:
    """What the hub reads; a folder of this machine is no name there."""
    known = [f"base_model: {base}"] if base == plan.recipe.model.path else []
    library = "transformers" if plan.job.adapter is None else "peft"
    return "\n".join(["---", *known, f"library_name: {library}", "pipeline_tag: text-generation", "---"])


def _facts(plan: Plan, success: Mapping[str, Any], base: str) -> dict[str, str]:
    adapter = plan.job.adapter
    method = plan.job.method + (f", rank {adapter.rank}, alpha {adapter.alpha}" if adapter else "")
    losses = {"last loss": success.get("loss_last"), "loss on held-out rows": success.get("eval_loss")}
    revision = plan.recipe.model.revision
    return {
        "base model": f"{base} ({revision})" if revision and base == plan.recipe.model.path else base,
        "method": method,
        "data": plan.recipe.data.path,
        "steps": f"{success['steps']:,}, each of {plan.job.batch.global_batch_size} rows",
        **{name: f"{loss:.4f}" for name, loss in losses.items() if loss is not None},
        "made by": f"tunekit {__version__}",
    }


def _without_hub(plan: Plan, base: str) -> tuple[str, ...]:
    if plan.job.adapter is None or base != plan.recipe.model.path:
        return ()
    return (
        f"Without the hub: `from tunekit.hub import local_model_dir` and `base = local_model_dir({json.dumps(base)})`, "
        "the base that was trained on, as long as tunekit's cache on that machine has it.",
    )
