"""Checks of the model, its tokenizer, the data and the adapters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunekit.doctor.case import Case
from tunekit.doctor.finding import Check, Seen, blocks, not_needed, ok, unknown, warning
from tunekit.hardware.probing import Outcome
from tunekit.planner.plan import Plan
from tunekit.units import format_bytes, format_count

NO_PLAN = "the recipe has no plan yet"
TRAIN = "pip install 'tunekit[train]'"
FAILED = "the worker would stop: "


def model_files(case: Case) -> Seen:
    """All files are here and whole, or can be had; weights without code in them."""
    if case.refusal is not None and case.refusal.check == "model_files":
        return blocks(case.refusal.text, "set model.path to a folder here, or try again with a network")
    refused, files = case.refused("model_files"), case.readings.model
    if refused is not None:
        return refused
    if files is None:
        return unknown(NO_PLAN)
    if files.fault:
        found, _, cure = files.fault.partition(". ")
        return blocks(found, cure.removesuffix(".") or "fetch it again, or set model.path to a whole folder")
    if files.gguf:
        return ok(f"{files.gguf}, converted once at the first launch")
    if not files.folder:
        size = format_bytes(sum(need.bytes for need in case.needs if need.setting == "HF_HOME"))
        return ok(f"not on this disk yet: the launch fetches about {size}, once")
    if files.pickle:
        found = f"{files.folder}: weights are pickles (.bin), which can run code when they are read"
        return warning(found, "use a revision with model.safetensors, or only models you trust")
    return ok(f"whole, {format_bytes(files.weight_bytes)} of safetensors in {case.short(files.folder)}")


def model_config(case: Case) -> Seen:
    """A family that is known, and rows no longer than it can count."""
    if case.refusal is not None and case.refusal.check == "model_config":
        return blocks(case.refusal.text, f"a model of another family, or tunekit plan {case.typed} --trace")
    if case.plan is None:
        return unknown(NO_PLAN)
    shape, job = case.plan.model_shape, case.plan.job
    words = (
        f"{shape.family}, {shape.num_layers} layers, hidden {shape.hidden_size:,}, vocabulary {shape.vocab_size:,}"
        + (" tied" if shape.tied_embeddings else "")
        + (f", {shape.num_experts} experts" if shape.num_experts else "")
        + f", {shape.max_positions:,} positions"
    )
    if job.max_seq_length > shape.max_positions:
        found = f"rows of {job.max_seq_length:,} tokens, but the model counts {shape.max_positions:,} positions"
        return warning(found, f"train.max_seq_length={shape.max_positions}")
    return ok(words)


def tokenizer(case: Case) -> Seen:
    """Padding and end tokens, their number against the embedding, a chat template."""
    tried = case.tried("rows")
    if tried is None or tried.missing.startswith("needs"):
        return unknown(tried.missing if tried else "not tried", TRAIN if tried and "torch" in tried.missing else "")
    if tried.missing and "tokenizer" not in tried.found:
        return blocks(f"{FAILED}{tried.missing}", "") if "tokenizer" in tried.missing else unknown(tried.missing)
    found = tried.found["tokenizer"]
    vocabulary = case.plan.model_shape.vocab_size if case.plan else found["tokens"]
    words = f"{found['tokens']:,} tokens, {vocabulary:,} embeddings, end {found['eos']}, padding {found['pad']}"
    if found["tokens"] > vocabulary:
        return blocks(words, "a tokenizer that belongs to this model")
    said = found.get("remarks", ())
    if said:
        return warning(f"{words}; {'; '.join(said)}", "model.chat_template=FILE, where the template is not right")
    return ok(f"{words}, {'its own' if found['template'] else 'no'} chat template")


def data(case: Case) -> Seen:
    """Rows that hold together, of which something is learned."""
    refused = case.refused("data")
    if refused is not None:
        return refused if refused.cure else blocks(refused.found, "mend the rows that are named")
    tried = case.tried("rows")
    if tried is None:
        return unknown("the first rows can be read" if case.plan else NO_PLAN)
    if tried.missing.startswith("needs"):
        return unknown(f"the first rows can be read; {tried.missing}", TRAIN if "torch" in tried.missing else "")
    if tried.missing or "fault" in tried.found:
        return _failed_rows(tried)
    counts = tried.found["statistics"]
    said = tried.found.get("warnings", ())
    words = _rows_words(tried.found, counts)
    return warning(f"{words}; {'; '.join(said)}", _data_cure(counts)) if said else ok(words)


def _failed_rows(tried: Outcome) -> Seen:
    """What the worker's own loading of the data said."""
    if tried.missing.startswith("not done"):
        return unknown(f"tokenising: {tried.missing}")
    said = str(tried.found.get("fault", tried.missing))
    found, _, cure = said.rpartition(". ")
    return blocks(f"{FAILED}{found or said}", cure if found else "mend the data, or name other data")


def _rows_words(found: Mapping[str, Any], counts: Mapping[str, Any]) -> str:
    share = counts["supervised_tokens"] / max(1, counts["tokens"])
    first = f"the first {counts['rows']:,} rows" if found["cut_short"] else f"{counts['rows']:,} rows"
    ended = counts["rows"] - counts["empty_rows"] - counts["rows_without_end"]
    return (
        f"{first} as {found['format']}: {counts['tokens']:,} tokens, {share:.0%} learned, "
        f"longest {counts['longest']:,} of {counts['max_seq_length']:,}, {ended:,} answers end"
    )


def _data_cure(counts: Mapping[str, Any]) -> str:
    if counts["truncated_rows"]:
        return f"train.max_seq_length={counts['length_for_99_percent']} keeps 99 % of the rows whole"
    return "look at the rows, or go on if it is meant"


def adapters(case: Case) -> Seen:
    """The modules that LoRA goes to, and what is trained."""
    if case.plan is None:
        return unknown(NO_PLAN)
    if case.plan.job.adapter is None:
        return not_needed("all weights are trained")
    count = case.plan.num_trainable_parameters
    modules = ", ".join(case.plan.job.adapter.target_modules)
    if count == 0:
        return blocks(f"no parameter would be trained (target modules: {modules})", "method.target_modules=all-linear")
    return ok(f"{format_count(count)} parameters in {modules}, {_share(case.plan)}")


def _share(plan: Plan) -> str:
    return f"{plan.num_trainable_parameters / max(1, plan.model_shape.num_parameters):.3%} of the model"


CHECKS = (
    Check(
        name="model_files",
        group="model and data",
        title="model",
        why="A file that is missing, cut off or gated is found out by every rank at once, after minutes.",
        look=model_files,
        of_recipe=True,
    ),
    Check(
        name="model_config",
        group="model and data",
        title="config",
        why="Positions beyond those the model was trained for give nonsense or an index error on the card.",
        look=model_config,
        of_recipe=True,
    ),
    Check(
        name="tokenizer",
        group="model and data",
        title="tokenizer",
        why="Padding with the end token teaches the model never to stop; tokens beyond the embedding crash.",
        look=tokenizer,
        of_recipe=True,
        at_launch=False,
    ),
    Check(
        name="data",
        group="model and data",
        title="data",
        why="Rows with nothing to learn, or cut answers, train for hours without an error.",
        look=data,
        of_recipe=True,
    ),
    Check(
        name="adapters",
        group="model and data",
        title="adapters",
        why="Modules that the model does not have are trained by nobody.",
        look=adapters,
        of_recipe=True,
    ),
)
