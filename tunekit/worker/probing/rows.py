"""Reads tokenizer and data of a plan as the ranks will, over the first rows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunekit.errors import TunekitError
from tunekit.hardware.probing import Options, Result
from tunekit.hub import gguf_source, local_model_dir
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_from_json
from tunekit.worker.main import leave_out_bitsandbytes

MOST_ROWS = 2000


def measure(options: Options) -> Result:
    """`tokenizer` and, of the first rows, `statistics`, `format`, `num_rows`, `warnings`; or the data's `fault`."""
    plan = plan_from_json(options.plan.read_text())
    leave_out_bitsandbytes(plan)
    tokenizer = _tokenizer(plan)
    found: Result = {"tokenizer": describe(tokenizer)}
    said: list[tuple[str, str]] = []

    def report(event: str, fields: dict[str, Any]) -> None:
        if event == "warning":
            said.append((str(fields.get("code", "")), str(fields["text"])))

    try:
        found |= _data(plan, tokenizer, report)
    except TunekitError as error:
        found["fault"] = str(error)
    about = ("padding_token", "no_chat_template")
    found["tokenizer"]["remarks"] = [text for code, text in said if code in about]
    found["warnings"] = [text for code, text in said if code not in about]
    return found


def describe(tokenizer: Any) -> dict[str, Any]:
    """What it has before the worker makes it ready."""
    return {
        "tokens": len(tokenizer),
        "pad": tokenizer.pad_token,
        "eos": tokenizer.eos_token,
        "template": bool(tokenizer.chat_template),
    }


def _data(plan: Plan, tokenizer: Any, report: Any) -> Result:
    from tunekit.worker.data import load_datasets

    wanted = plan.recipe.data.max_rows
    most = min(wanted or MOST_ROWS, MOST_ROWS)
    data = plan.recipe.data.model_copy(update={"max_rows": most})
    recipe = plan.recipe.model_copy(update={"data": data})
    prepared = load_datasets(recipe, plan.job, tokenizer, report=report)
    counts = asdict(prepared.statistics)
    return {
        "statistics": counts,
        "format": prepared.format,
        "num_rows": prepared.num_rows,
        "cut_short": counts["rows"] >= most and most != wanted,
    }


def _tokenizer(plan: Plan) -> Any:
    """From the model's folder, or from its .gguf while that is not converted. RuntimeError: it cannot be read."""
    from transformers import AutoTokenizer

    from tunekit.worker.model import load_tokenizer

    model = plan.recipe.model
    folder, gguf = local_model_dir(model.path, model.revision), gguf_source(model.path)
    try:
        if folder is not None:
            return load_tokenizer(plan, folder)
        assert gguf is not None
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        if model.chat_template is not None:
            tokenizer.chat_template = Path(model.chat_template).read_text()
        return tokenizer
    except Exception as error:
        raise RuntimeError(f"the tokenizer cannot be read: {error}") from error
