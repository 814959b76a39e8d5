from __future__ import annotations

from pathlib import Path

from tunekit.recipe.keys import all_keys
from tunekit.recipe.loading import load_text
from tunekit.recipe.reference import readme
from tunekit.recipe.shipped import shipped_names


def test_the_page_is_current(repository: Path) -> None:
    # Write it anew: python -m tunekit.recipe.reference > recipes/README.md
    assert (repository / "recipes" / "README.md").read_text() == readme()


def test_the_page_names_every_recipe_and_every_key() -> None:
    page = readme()
    assert all(f"[{name}]({name}.yaml)" in page for name in shipped_names("recipes"))
    assert all(f"| `{key.name}` | {key.allowed} |" in page for key in all_keys().values())


def test_the_example_of_the_page_loads() -> None:
    example = next(block for block in readme().split("```yaml\n") if block.startswith("base:")).partition("```")[0]
    recipe = load_text(example)
    assert recipe.method.kind == "qlora"
    assert recipe.output.dir == "runs/qlora_test"
