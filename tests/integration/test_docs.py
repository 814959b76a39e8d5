"""What README.md, CONTRIBUTING.md and CHANGELOG.md say is so."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import docs
import pytest
from docs import Block, blocks, output_of

from tunekit.errors import DoesNotFit
from tunekit.planner.plan import Verdict

README = docs.README.read_text(encoding="utf-8")
CONTRIBUTING = (docs.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGELOG = (docs.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The part of the README below a heading, up to the next one."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("block", list(blocks(README)), ids=lambda block: block.command)
def test_every_output_in_the_readme_is_the_commands_own(block: Block) -> None:
    assert block.text == output_of(block.command), "python tests/docs.py writes it anew"


def test_the_readme_shows_the_plan_it_promises() -> None:
    shown = [block.command for block in blocks(README)]
    assert shown[0] == "tunekit plan recipes/codellama34b_qlora.yaml"
    assert len(shown) == 5


def test_the_sample_of_a_comparison_is_what_is_printed_on_its_day() -> None:
    """Its prices grow old, so it is held to the output that is pinned for the day it names; `...` stands for lines."""
    (sample,) = re.findall(
        r"```\n\$ tunekit plan recipes/codellama34b_qlora.yaml --compare\n(.*?)```", README, re.DOTALL
    )
    assert "on 22 November 2026" in README.partition(sample)[0].rpartition("\n\n")[0]
    printed = (docs.ROOT / "tests/golden/plans/codellama34b_qlora_compare.txt").read_text(encoding="utf-8")
    rest = iter(printed.splitlines())
    lines = [line for line in sample.splitlines() if line.strip() not in ("", "...")]
    assert len(lines) > 12
    assert [line for line in lines if line not in rest] == []


def test_the_python_in_the_readme_runs() -> None:
    (code,) = re.findall(r"<!-- run -->\n```python\n(.*?)```", README, re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", code], cwd=docs.ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[0] in ("fits", "tight", "rejected")


def test_the_table_of_commands_is_complete() -> None:
    from tunekit.cli.main import app

    verbs = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    assert set(re.findall(r"^\| `tunekit (\w+)", section("Commands"), re.MULTILINE)) == verbs | groups


def test_every_option_and_verb_that_is_named_exists(repository: Path) -> None:
    table = section("Commands")
    for verb, rest in re.findall(r"^\| `tunekit (\w+)(.*)$", table, re.MULTILINE):
        shown = _help(verb)
        for word in re.findall(r"(?<![\w-])--?[a-z][\w-]*", rest):
            assert word in shown, (verb, word)
        for word in re.findall(r"`(show|copy|schema)", rest):
            assert word in shown, (verb, word)


@cache
def _help(*verbs: str) -> str:
    return tunekit(*verbs, "--help", cwd=docs.ROOT).stdout


def tunekit(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "tunekit", *words], capture_output=True, text=True, check=False, cwd=cwd, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran


def typed_commands(page: str) -> list[list[str]]:
    """Every `tunekit …` of a page, in blocks and in sentences, word by word, without what is a comment or optional."""
    blocks_of_shell = "\n".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL))
    lines = re.findall(r"^(tunekit .*)$", blocks_of_shell, re.MULTILINE)
    inline = re.findall(r"(?<!`)`(tunekit [^`]*)`(?!`)", page)
    return [shlex.split(text.partition("#")[0].replace("[", "").replace("]", "")) for text in (*lines, *inline)]


def test_every_command_in_the_readme_exists() -> None:
    found = typed_commands(README)
    assert len(found) > 15
    for _, verb, *words in found:
        assert verb in _help(), verb
        inner = words[0] if verb in ("recipes", "hardware") and words else None
        shown = _help(verb, inner) if inner else _help(verb)
        for option in (word for word in words if word.startswith("-")):
            assert option in shown, (verb, option)


def test_the_commands_on_a_recipe_of_ones_own_do_what_they_say(tmp_path: Path) -> None:
    (block,) = re.findall(r"```console\n(tunekit recipes copy.*?)```", README, re.DOTALL)
    copy, plan, launch = (shlex.split(line) for line in block.splitlines())
    tunekit(*copy[1:], cwd=tmp_path)
    assert "4,096 tokens a row" in tunekit(*plan[1:], cwd=tmp_path).stdout
    assert launch[:2] == ["tunekit", "launch"]
    assert "nothing was started" in tunekit(*launch[1:], "--dry-run", cwd=tmp_path).stdout


def test_the_way_to_the_command_is_the_one_that_make_prepares() -> None:
    assert "`. .venv/bin/activate`" in README
    assert re.search(r"^VENV \?= \.venv$", (docs.ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_verdicts_in_the_readme_are_those_of_plans() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \|.*?\| (\d) \|", section("What a plan looks like"), re.MULTILINE))
    assert list(table) == list(get_args(Verdict))
    assert table == {"fits": "0", "tight": "0", "rejected": str(DoesNotFit.exit_code)}


def test_every_file_that_the_readme_names_exists(repository: Path) -> None:
    folders = "tunekit|tests|recipes|ds_configs|examples|benchmarks"
    named = set(re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./]*\w)", README))
    assert len(named) > 4
    for path in named:
        assert (repository / path).exists(), path


def test_the_exit_codes_are_those_of_the_errors() -> None:
    from tunekit import errors

    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = {0, 130} | {kind.exit_code for kind in classes if hasattr(kind, "exit_code")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section("Commands"), re.MULTILINE)} == codes


def test_the_run_directory_is_drawn_as_it_is() -> None:
    from tunekit.launcher.run_dir import RunDir

    run = RunDir(Path("runs/quickstart"))
    drawn = set(re.findall(r"^[├└]── ([\w.]+)/?", section("A run directory"), re.MULTILINE))
    properties = [name for name, value in vars(RunDir).items() if isinstance(value, property)]
    known = {getattr(run, name).relative_to(run.path).parts[0] for name in properties} | {run.attempt(1).name}
    assert drawn == known


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/data/README.md"])
def test_links_and_names_of_files_lead_somewhere(repository: Path, page: str) -> None:
    text = (repository / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:tunekit|tests|recipes|ds_configs|examples|benchmarks)/[\w./]*\w\.\w+)`", text)
    for path in (*links, *named):
        if not re.search(r"NAME|model_method", path):
            assert (repository / Path(page).parent / path).exists() or (repository / path).exists(), path


def test_make_targets_that_are_named_exist(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README + CONTRIBUTING, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_layers_of_the_tour_are_all_there(repository: Path) -> None:
    tour = CONTRIBUTING.partition("## The layers")[2].partition("## How to add")[0]
    folders = {path.name for path in (repository / "tunekit").iterdir() if (path / "__init__.py").is_file()}
    modules = {path.name for path in (repository / "tunekit").glob("*.py") if not path.name.startswith("_")}
    drawn = set(re.findall(r"(\w+)/(?=\s)|(\w+\.py)", tour))
    assert {folder or module for folder, module in drawn} == folders | modules


def test_the_changelog_names_this_version_or_is_unreleased() -> None:
    from tunekit import __version__

    assert f"## [{__version__}]" in CHANGELOG or "## [Unreleased]" in CHANGELOG
    rows = len((docs.ROOT / "examples/data/finetuning_qa.jsonl").read_text(encoding="utf-8").splitlines())
    recipes = len(list((docs.ROOT / "recipes").glob("*.yaml")))
    presets = len(list((docs.ROOT / "ds_configs").glob("*.json")))
    profiles = len(list((docs.ROOT / "tunekit/hardware/profiles").glob("*.yaml")))
    for said in (f"{rows} questions", f"{recipes} recipes", f"{presets} DeepSpeed presets"):
        assert said in CHANGELOG
    numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
    assert f"profiles of {numbers[profiles]} machines" in CHANGELOG


def test_every_row_shown_is_read_as_it_says(repository: Path) -> None:
    from tunekit.recipe.data_formats import FORMATS, conversation, plain_text, recognise
    from tunekit.recipe.schema import DataSection

    page = (repository / "examples/data/README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (\w+) \| `(\{.*\})` \|$", page, re.MULTILINE)
    assert list(dict.fromkeys(name for name, _ in shown)) == [format.name for format in FORMATS]
    for name, text in shown:
        row = json.loads(text)
        layout = recognise(list(row), DataSection(path="x"), source="x")
        assert layout.format == name
        assert plain_text(row, layout) if name == "text" else conversation(row, layout)
