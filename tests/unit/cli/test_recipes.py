from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tunekit.cli import recipes
from tunekit.errors import UsageError
from tunekit.recipe.loading import load_recipe
from tunekit.recipe.shipped import shipped_names


def test_the_list_shows_every_recipe_with_what_it_is_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    recipes.list_recipes(json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("recipe ")
    row = next(line for line in lines if line.lstrip().startswith("codellama34b_qlora"))
    assert next(line for line in lines if line.startswith("mixtral8x7b_qlora")).rstrip().endswith(".")
    for cell in ("codellama/CodeLlama-34b", "qlora", "z3_qlora", "dual_rtx4090", "24 GB cards share"):
        assert cell in row
    assert sum(any(line.lstrip().startswith(f"{name} ") for line in lines) for name in shipped_names("recipes")) == len(
        shipped_names("recipes")
    )


def test_a_narrow_terminal_loses_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    recipes.list_recipes(json=False)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "an honest rejection" in " ".join(out.split())
    assert "codellama34b_qlora  fits on dual_rtx4090 with z3_qlora" in out
    assert "rejected" in out


def test_a_pipe_that_says_how_wide_it_is_is_believed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    recipes.list_recipes(json=False)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_list_is_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    recipes.list_recipes(json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == list(shipped_names("recipes"))
    assert {entry["verdict"] for entry in listed} <= {"fits", "tight", "rejected"}


def test_show_prints_the_file(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipes.show_recipe("quickstart")
    assert capsys.readouterr().out == (repository / "recipes" / "quickstart.yaml").read_text()


@pytest.mark.parametrize("verb", [recipes.show_recipe, lambda name: recipes.copy_recipe(name, Path("never.yaml"))])
def test_an_unknown_name_gets_the_nearest(verb: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        verb("quickstrat")  # type: ignore[operator]
    assert str(caught.value) == (
        "No shipped recipe is called quickstrat. Did you mean quickstart? "
        "`tunekit recipes` lists those that are shipped."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_copy_loads_and_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "mine.yaml"
    recipes.copy_recipe("quickstart", target)
    assert load_recipe(target).recipe == load_recipe("quickstart").recipe
    assert capsys.readouterr().out == (
        f"Copied quickstart to {target} (the folder {target.parent} was created). Next: tunekit plan {target}\n"
    )


def test_a_copy_into_a_folder_takes_the_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipes.copy_recipe("quickstart", tmp_path)
    assert (tmp_path / "quickstart.yaml").is_file()
    assert "was created" not in capsys.readouterr().out


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text("precious")
    with pytest.raises(UsageError, match="exists and is not overwritten. Choose another name, or remove it first."):
        recipes.copy_recipe("quickstart", target)
    assert target.read_text() == "precious"


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"/file exists and is not overwritten|cannot be written: Not a directory"):
        recipes.copy_recipe("quickstart", tmp_path / "file" / "mine.yaml")
    with pytest.raises(UsageError, match=r"cannot be written: File name too long\. Choose another place\."):
        recipes.copy_recipe("quickstart", tmp_path / f"{'a' * 300}.yaml")


def test_the_next_command_is_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipes.copy_recipe("quickstart", tmp_path / "my recipe.yaml")
    assert capsys.readouterr().out.endswith(f"Next: tunekit plan '{tmp_path}/my recipe.yaml'\n")


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    recipes.print_schema()
    Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_the_verbs_are_wired_with_their_exit_codes(tmp_path: Path) -> None:
    def tunekit(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tunekit", "recipes", *words], cwd=tmp_path, capture_output=True, text=True
        )

    assert "quickstart" in tunekit().stdout
    assert tunekit("show", "quickstart").stdout.startswith("# ")
    assert json.loads(tunekit("schema").stdout)["title"] == "tunekit recipe"
    assert tunekit("copy", "quickstart", "a.yaml").returncode == 0
    again = tunekit("copy", "quickstart", "a.yaml")
    assert (again.returncode, again.stdout) == (2, "")
    assert "a.yaml exists" in again.stderr
    assert tunekit("show", "nope").returncode == 2


def test_the_list_needs_neither_the_schema_nor_composition() -> None:
    code = (
        "import sys, tunekit.cli.recipes as r; r.list_recipes(json=True); print(sorted(sys.modules), file=sys.stderr)"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    for heavy in ("omegaconf", "tunekit.recipe.schema", "rich", "torch"):
        assert f"'{heavy}'" not in modules
