from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.errors import UsageError
from tunekit.hub.paths import check_hub_id, listing, looks_local, missing_path


@pytest.mark.parametrize("path", ["./m", "/m", "~/m", "../m", "a/b/c", "m.gguf", "rows.jsonl", "A.CSV"])
def test_these_can_only_be_on_this_disk(path: str) -> None:
    assert looks_local(path)


@pytest.mark.parametrize("path", ["gpt2", "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-0.5B", "a/b-v1.0"])
def test_these_can_be_on_the_hub(path: str) -> None:
    assert not looks_local(path)
    check_hub_id(path, key="model.path")


@pytest.mark.parametrize("path", ["", "a b", "-x", "a/b c", "owner/", "a/b/c"])
def test_these_can_be_nowhere(path: str) -> None:
    with pytest.raises(UsageError, match=r"model\.path: .* a hub id is `owner/name`"):
        check_hub_id(path, key="model.path")


def test_a_missing_path_in_an_empty_folder(tmp_path: Path) -> None:
    assert str(missing_path(str(tmp_path / "x"), key="k")).endswith("The folder is empty.")


def test_long_folders_are_listed_in_part(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"f{number}").touch()
    assert listing(tmp_path) == "f0, f1, f2, f3, f4, f5, f6, f7 and 2 more"


def test_a_web_page_is_shown_as_the_hub_id_it_is_about() -> None:
    page = "https://huggingface.co/codellama/CodeLlama-34b-hf/tree/main"
    assert not looks_local(page)
    with pytest.raises(UsageError, match=r"Write codellama/CodeLlama-34b-hf$"):
        check_hub_id(page, key="model.path")
