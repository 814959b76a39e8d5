from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.errors import RecipeError, UsageError
from tunekit.recipe.finding import find_base, find_recipe, unknown_name


def test_a_file_a_shipped_path_and_a_shipped_name_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("a: 1\n")
    assert find_recipe("mine.yaml").text == "a: 1\n"
    by_path, by_name = find_recipe("recipes/quickstart.yaml"), find_recipe("quickstart")
    assert by_path.identity == by_name.identity
    assert by_name.name == "recipes/quickstart.yaml"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert find_recipe(str(tmp_path / "r.yaml")).text == "a: 1\n"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "quikstart",
            "There is no recipe quikstart: neither a file nor a shipped name. Did you mean quickstart? "
            "`tunekit recipes` lists those that are shipped.",
        ),
        (
            "recipes/codellama34b_qlor.yaml",
            "There is no recipe recipes/codellama34b_qlor.yaml: neither a file nor a shipped name. "
            "Did you mean codellama34b_qlora? `tunekit recipes` lists those that are shipped.",
        ),
        (
            "zzzz",
            "There is no recipe zzzz: neither a file nor a shipped name. "
            "`tunekit recipes` lists those that are shipped.",
        ),
    ],
)
def test_what_is_nowhere_gets_the_nearest_name(typed: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_recipe(typed)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


def test_a_folder_is_no_recipe_and_its_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "b.txt").write_text("")
    with pytest.raises(UsageError, match=r"is a folder, not a recipe\. It holds: \S+/a\.yaml\.$"):
        find_recipe(str(tmp_path))


def test_nothing_and_no_file_are_no_folder() -> None:
    with pytest.raises(UsageError, match="There is no recipe '': neither a file nor a shipped name"):
        find_recipe("")
    with pytest.raises(UsageError, match="There is no recipe aaa"):
        find_recipe("a" * 300)
    with pytest.raises(UsageError, match="/dev/null is no file, not a recipe"):
        find_recipe("/dev/null")


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(UsageError, match=r"is not UTF-8 text \(byte 3\)"):
        find_recipe(str(tmp_path / "r.yaml"))


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r.yaml").write_text("a: 1\n")

    def refuse(*_args: object, **_kwargs: object) -> str:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, who may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match=r"cannot be read: Permission denied. Check its permissions: ls -l"):
        find_recipe(str(tmp_path / "r.yaml"))


def test_a_base_lies_beside_the_recipe_or_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "low.yaml").write_text("a: 1\n")
    beside = tmp_path / "r.yaml"
    assert find_base("low.yaml", beside=beside, where="r.yaml:1", chain=()).text == "a: 1\n"
    assert find_base("quickstart", beside=beside, where="r.yaml:1", chain=()).name == "quickstart"
    assert find_base("recipes/quickstart.yaml", beside=None, where="r.yaml:1", chain=()).text.startswith("#")


def test_a_base_that_is_not_there_names_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        find_base("quikstart", beside=tmp_path / "r.yaml", where="r.yaml:1", chain=())
    assert str(caught.value).splitlines()[0] == (
        f"r.yaml:1: base: there is no quikstart (looked beside {tmp_path}/r.yaml and among the shipped recipes); "
        "Did you mean quickstart? `tunekit recipes` lists those that are shipped."
    )


def test_an_unknown_shipped_name_has_its_own_error() -> None:
    assert "Did you mean mistral7b_lora?" in str(unknown_name("mistral_lora"))
