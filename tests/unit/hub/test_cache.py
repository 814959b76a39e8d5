from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tunekit.hub.cache import Hub, converted_gguf_dir, hub_of, snapshot


@pytest.mark.parametrize(
    ("environ", "cache"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
    ],
)
def test_the_cache_is_where_huggingface_hub_puts_it(environ: dict[str, str], cache: str) -> None:
    assert hub_of(environ).cache == Path(cache)


def test_without_variables_home_and_the_public_hub() -> None:
    hub = hub_of({})
    assert hub.cache == Path.home() / ".cache" / "huggingface" / "hub"
    assert hub.endpoint == "https://huggingface.co"
    assert hub_of({"HF_ENDPOINT": "https://mirror.example/"}).endpoint == "https://mirror.example"


def test_the_default_agrees_with_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    library = constants.default_cache_path
    assert library.endswith(str(Path("huggingface", "hub")))
    assert str(hub_of({}).cache).endswith(str(Path(".cache", "huggingface", "hub")))


def cached(tmp_path: Path, commit: str, reference: str | None) -> None:
    folder = tmp_path / "models--acme--tiny"
    (folder / "snapshots" / commit).mkdir(parents=True)
    if reference:
        (folder / "refs").mkdir()
        (folder / "refs" / reference).write_text(commit)


def test_snapshots_are_found_by_branch_and_by_commit(tmp_path: Path) -> None:
    cached(tmp_path, "c" * 40, "main")
    hub, folder = hub_of({"HF_HUB_CACHE": str(tmp_path)}), tmp_path / "models--acme--tiny" / "snapshots" / ("c" * 40)
    assert snapshot(hub, "acme/tiny", None) == folder
    assert snapshot(hub, "acme/tiny", "main") == folder
    assert snapshot(hub, "acme/tiny", "c" * 40) == folder
    assert snapshot(hub, "acme/tiny", "v2") is None
    assert snapshot(hub, "acme/other", None) is None
    assert snapshot(hub, "acme/tiny", None, "dataset") is None


def test_a_commit_without_a_branch_is_no_default(tmp_path: Path) -> None:
    cached(tmp_path, "c" * 40, None)
    assert snapshot(hub_of({"HF_HUB_CACHE": str(tmp_path)}), "acme/tiny", None) is None


def test_a_gguf_has_one_folder_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    first, copy = tmp_path / "m.gguf", tmp_path / "elsewhere" / "m.gguf"
    first.write_bytes(b"GGUF" + bytes(100))
    copy.parent.mkdir()
    shutil.copyfile(first, copy)
    folder = converted_gguf_dir(first)
    assert folder.parent == tmp_path / "xdg" / "tunekit" / "gguf"
    assert folder.name.startswith("m-")
    assert converted_gguf_dir(copy) == folder
    assert not folder.exists()


def test_another_content_has_another_folder(tmp_path: Path) -> None:
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(bytes(3 * 2**20))
    before = converted_gguf_dir(gguf)
    gguf.write_bytes(bytes(3 * 2**20 - 1) + b"x")
    assert converted_gguf_dir(gguf) != before


def test_a_revision_that_leaves_the_cache_is_none(tmp_path: Path) -> None:
    (tmp_path / "models--a--b" / "snapshots").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    hub = Hub(endpoint="https://x", cache=tmp_path)
    assert snapshot(hub, "a/b", "../../outside") is None
    assert snapshot(hub, "a/b", "x" * 300) is None
