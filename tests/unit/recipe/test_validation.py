# ruff: noqa: E501 - messages stand here as they are printed
from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tunekit.errors import RecipeError
from tunekit.recipe.loading import load_recipe, load_text

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "errors"


def messages(text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_text(text, name="r.yaml", overrides=overrides)
    return [str(problem) for problem in caught.value.problems]


def one(section: str, line: str) -> str:
    """A recipe whose fourth line is the faulty one; the section is opened before it."""
    sections = {"model": "path: a/b", "data": "path: d", "output": "dir: o"}
    rest = [f"{name}: {{{key}}}" for name, key in sections.items() if name != section]
    head = [section + ":", f"  {sections[section]}" if section in sections else "  # nothing else"]
    return "\n".join(["# one fault", *head, f"  {line}", *rest]) + "\n"


def test_thirty_different_faults_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(RecipeError) as caught:
        load_recipe("thirty_faults.yaml")
    assert len(caught.value.problems) == 30
    assert len({(problem.where, problem.key) for problem in caught.value.problems}) == 30
    assert str(caught.value) + "\n" == (GOLDEN / "thirty_faults.txt").read_text()


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        (
            "model",
            "revision: 1.10",
            'model.revision: found 1.10, which YAML reads as the number 1.1; allowed: text; quote it: "1.10"',
        ),
        ("model", "revision: no", 'model.revision: found no, which YAML reads as false; allowed: text; quote it: "no"'),
        ("model", "revision: [a]", "model.revision: found ['a']; allowed: text; write e.g. revision: null"),
        (
            "model",
            "trust_remote_code:",
            "model.trust_remote_code: found nothing; allowed: true or false; write a value, or remove the line",
        ),
        ("zero", "stage: 4", "zero.stage: found 4; allowed: 0, 1, 2 or 3, or auto; write e.g. stage: auto"),
        ("zero", "stage: true", "zero.stage: found true; allowed: 0, 1, 2 or 3, or auto; write e.g. stage: auto"),
        (
            "zero",
            "offload_param: no",
            "zero.offload_param: found no, which YAML reads as false; allowed: none, cpu or nvme, or auto; write none",
        ),
        (
            "zero",
            "offload_optimizer: {device: cpu}",
            "zero.offload_optimizer: found a section; allowed: none, cpu or nvme, or auto; write e.g. offload_optimizer: auto",
        ),
        (
            "zero",
            "offload_ratio: 1.5",
            "zero.offload_ratio: found 1.5; allowed: a number, above 0 to 1, or auto; nearest: 1",
        ),
        ("zero", "preset: my.json", "zero.preset: there is no preset my.json"),
        (
            "train",
            "learning_rate: .nan",
            "train.learning_rate: found .nan, which YAML reads as the number nan; allowed: a number, above 0 to 1, or auto; write e.g. learning_rate: auto",
        ),
        (
            "train",
            "seed: 010x",
            "train.seed: found '010x'; allowed: a whole number, 0 to 4294967295; write e.g. seed: 42",
        ),
        ("train", "max_seq_length: 4", "train.max_seq_length: found 4; allowed: a whole number, 8 or more; nearest: 8"),
        ("train", "gradient_checkpointing: true", "write activation_checkpointing instead"),
        ("train", "rank: 4", "write it as method.rank"),
        ("train", "lerning_rate: 4", "did you mean learning_rate?"),
        ("train", "quantisation: nf4", "did you mean method.quantization?"),
        ("train", "qqqqq: 4", "; write one of these, or remove it"),
        ("train", "1: 4", "train.1: there is no such key"),
        ("train", "tags: 4", "; write one of these, or remove it"),
        ("model", "name_or_path: x", "write path instead"),
        ("train", "seed: 4294967296", "allowed: a whole number, 0 to 4294967295; nearest: 4294967295"),
        ("train", "max_steps: 9000000000000", "allowed: a whole number, 1 or more; nearest: 1000000000000"),
        ("train", f"max_steps: {'9' * 99}", "allowed: a whole number, 1 or more; nearest: 1000000000000"),
        ("train", f"max_steps: {'9' * 5000}", "allowed: a whole number, 1 or more; write e.g. max_steps: null"),
        (
            "data",
            "columns: {prompt: 3}",
            'data.columns.prompt: found 3; allowed: a mapping of text to text; quote it: "3"',
        ),
        (
            "method",
            "target_modules: [q_proj, 3]",
            'method.target_modules[1]: found 3; allowed: text or a list of texts; quote it: "3"',
        ),
        ("method", "rank: 16.5", "method.rank: found 16.5; allowed: a whole number, 1 to 1024, or auto; nearest: 16"),
        (
            "output",
            "sample_prompts: Why?",
            "output.sample_prompts: found 'Why?'; allowed: a list of texts; write [\"Why?\"]",
        ),
    ],
)
def test_each_kind_of_fault_says_what_to_type(section: str, line: str, message: str) -> None:
    (found,) = messages(one(section, line))
    assert found.startswith("r.yaml:4: ")
    assert message in found


def test_what_other_trainers_call_an_8_bit_base_is_told_our_name() -> None:
    (found,) = messages(one("method", "quantization: llm_int8"))
    assert "allowed: nf4, fp4 or int8; write int8" in found


def test_a_long_value_is_cut() -> None:
    (found,) = messages(one("train", f"seed: {'x' * 300}"))
    assert "…" in found
    assert len(found) < 200


def test_a_section_that_is_no_section_names_its_keys() -> None:
    text = "model: a/b\ndata: {path: d}\noutput: {dir: o}\n"
    assert messages(text) == [
        "r.yaml:1: model: found 'a/b'; a section with the keys path, revision, attention, chat_template, "
        "trust_remote_code, allow_pickle; write model: on its own line and its keys indented below"
    ]


def test_missing_keys_stand_where_their_section_stands() -> None:
    found = messages("train:\n  seed: 1\noutput:\n  save_steps: 5\n")
    assert [line.partition(";")[0] for line in found] == [
        "r.yaml:1: model.path: missing",
        "r.yaml:1: data.path: missing",
        "r.yaml:3: output.dir: missing",
    ]


def test_an_unknown_section_is_one_fault_whatever_it_holds() -> None:
    found = messages("modell:\n  path: x\n  y: 1\nmodel: {path: x}\ndata: {path: d}\noutput: {dir: o}\n")
    assert len(found) == 1
    assert found[0].endswith("did you mean model?")


def test_rules_speak_though_other_keys_are_faulty() -> None:
    text = one("train", "micro_batch_size: 3") + "method: {kind: full, rank: 8, alpha: x}\nzero: 3\n"
    found = messages(text, "train.global_batch_size=16", "data.streaming=true", "train.max_steps=x")
    keys = [line.split(": ")[1] for line in found]
    assert keys == ["method.rank", "method.alpha", "zero", "train.global_batch_size", "train.max_steps"]


def test_the_base_is_named_where_it_is_at_fault(tmp_path: Path) -> None:
    (tmp_path / "low.yaml").write_text("train: {seed: x}\n")
    (tmp_path / "r.yaml").write_text("base: low.yaml\nmodel: {path: 3}\ndata: {path: d}\noutput: {dir: o}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.yaml")
    assert [problem.where for problem in caught.value.problems] == [f"{tmp_path}/r.yaml:2", f"{tmp_path}/low.yaml:1"]


def test_a_value_left_open_by_a_base_is_one_fault() -> None:
    (found,) = messages("model:\n  path: ???\ndata: {path: d}\noutput: {dir: o}\n")
    assert (
        found
        == "r.yaml:2: model.path: found ???: it is left for you to fill in; write a value, or type model.path=VALUE"
    )


def test_a_dotted_key_in_a_file_is_shown_how_to_be_written() -> None:
    (found,) = messages("model: {path: a}\ndata: {path: b}\noutput: {dir: c}\ntrain.seed: 3\n")
    assert "write train: on its own line and seed: indented below" in found
    assert "did you mean" not in found


def test_a_value_inside_a_typed_section_is_shown_alone() -> None:
    (found,) = messages("model: {path: a}\ndata: {path: b}\noutput: {dir: c}\n", "data.columns={prompt: 3}")
    assert found.startswith("command line: data.columns.prompt: found 3; ")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("output.dir=''", "output.dir: found ''; allowed: text, not empty; write e.g. dir: runs/my_first_run"),
        ('output.dir="a\\0b"', "output.dir: found 'a\\x00b'; allowed: text; write e.g. dir: runs/my_first_run"),
    ],
)
def test_a_text_that_can_name_nothing_is_refused(word: str, message: str) -> None:
    (found,) = messages("model: {path: a}\ndata: {path: b}\noutput: {dir: c}\n", word)
    assert found == f"command line: {message}"


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("output.sample_prompts=What is it?", """'output.sample_prompts=["What is it?"]'"""),
        ("output.sample_prompts=Hello", "'output.sample_prompts=[Hello]'"),
        ("tracking=wandb", "'tracking=[wandb]'"),
    ],
)
def test_a_list_that_was_typed_as_one_text_is_mended_by_typing_what_is_said(typed: str, hint: str) -> None:
    with pytest.raises(RecipeError) as told:
        load_recipe("quickstart", [typed])
    (problem,) = told.value.problems
    assert problem.hint == f"type {hint}"
    section, _, name = hint.partition("=")[0].strip("'").rpartition(".")
    recipe = load_recipe("quickstart", shlex.split(hint)).recipe
    (value,) = getattr(getattr(recipe, section) if section else recipe, name)
    assert value == typed.partition("=")[2]
