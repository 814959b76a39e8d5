from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tunekit.errors import MissingError
from tunekit.hub import remote
from tunekit.hub.cache import Hub
from tunekit.hub.remote import Repository, Unreachable, hub_here

NAME = "acme/tiny"


def repository(name: str = NAME, **more: Any) -> Repository:
    return Repository(hub=hub_here(), name=name, revision=more.pop("revision", None), **more)


def test_files_are_listed_with_their_sizes(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories[f"models/{NAME}"] = model_bytes
    assert remote.list_files(repository()) == {name: len(content) for name, content in model_bytes.items()}


def test_only_the_named_files_are_downloaded_and_only_once(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories[f"models/{NAME}"] = model_bytes
    sizes, wanted = remote.list_files(repository()), ("config.json", "model.safetensors")
    folder = remote.download(repository(), wanted, sizes)
    assert {path.name for path in folder.iterdir()} == set(wanted)
    assert (folder / "model.safetensors").read_bytes() == model_bytes["model.safetensors"]
    fetched = list(fake_hub.downloaded())
    assert sorted(fetched) == sorted(wanted)
    assert remote.download(repository(), wanted, sizes) == folder
    assert fake_hub.downloaded() == fetched


def test_a_repository_that_does_not_exist(fake_hub: Any) -> None:
    with pytest.raises(MissingError) as caught:
        remote.list_files(repository("qwen/qwen2.5-7b-instrukt"))
    message = str(caught.value)
    assert "qwen/qwen2.5-7b-instrukt does not exist on 127.0.0.1" in message
    assert "Qwen/Qwen2.5-7B-Instruct" in message
    assert "hf auth login" in message
    assert not isinstance(caught.value, Unreachable)
    assert caught.value.exit_code == 4


def test_a_gated_repository_says_how_to_be_let_in(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories[f"models/{NAME}"] = model_bytes
    fake_hub.gated.add(f"models/{NAME}")
    sizes = remote.list_files(repository())
    with pytest.raises(
        MissingError, match=r"acme/tiny is gated: .* http://127\.0\.0\.1:\d+/acme/tiny.* `hf auth login`"
    ):
        remote.download(repository(), ("config.json",), sizes)
    with pytest.raises(MissingError, match="is gated"):
        remote.download_file(repository(), "config.json")


def test_a_revision_that_does_not_exist(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories[f"models/{NAME}"] = model_bytes
    with pytest.raises(MissingError, match="acme/tiny has no revision v9; its branches and tags are at http"):
        remote.list_files(repository(revision="v9"))


def test_a_hub_that_fails(fake_hub: Any) -> None:
    fake_hub.broken.add(f"models/{NAME}")
    with pytest.raises(MissingError, match="answered 500 for acme/tiny. Try again later"):
        remote.list_files(repository())


def test_nobody_answers(no_hub: Path) -> None:
    with pytest.raises(Unreachable, match=r"acme/tiny cannot be fetched: 127\.0\.0\.1:9 is not reached \(Conn"):
        remote.list_files(repository())


@pytest.fixture
def silent_hub() -> Iterator[str]:
    """Takes connections and never answers, as a network that drops packets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_network_is_given_up_within_five_seconds(silent_hub: str, empty_cache: Path) -> None:
    quiet = Repository(hub=Hub(endpoint=silent_hub, cache=empty_cache), name=NAME, revision=None)
    start = time.monotonic()
    with pytest.raises(Unreachable, match="is not reached"):
        remote.list_files(quiet)
    assert time.monotonic() - start < 5.5


def test_a_call_that_hangs_in_the_system_is_given_up(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    released = threading.Event()
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30))
    with pytest.raises(Unreachable, match="no answer within"):
        remote.list_files(repository())
    released.set()


def test_offline_mode_is_named(monkeypatch: pytest.MonkeyPatch, fake_hub: Any) -> None:
    from huggingface_hub import errors

    offline = remote.explain(errors.OfflineModeIsEnabled("offline"), repository())
    assert isinstance(offline, Unreachable)
    assert "HF_HUB_OFFLINE is set" in str(offline)


class Disk(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_is_too_small_is_noticed_before_the_download(
    fake_hub: Any, model_bytes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub.repositories[f"models/{NAME}"] = model_bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(2**40, 2**40 - 2**30, 2**30))
    sizes = {**remote.list_files(repository()), "model.safetensors": 3 * 2**30}
    with pytest.raises(MissingError, match=r"acme/tiny needs 3\.0 GiB on disk, and .* has 1\.0 GiB free\. .*HF_HOME="):
        remote.download(repository(), ("config.json", "model.safetensors"), sizes)
    assert fake_hub.downloaded() == []


def test_what_is_here_already_needs_no_more_disk(
    fake_hub: Any, model_bytes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub.repositories[f"models/{NAME}"] = model_bytes
    sizes = remote.list_files(repository())
    remote.download(repository(), ("config.json",), sizes)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(1, 1, 0))
    assert remote.download(repository(), ("config.json",), sizes).is_dir()


def test_cached_files_are_found_without_the_network(fake_hub: Any, model_bytes: dict[str, bytes]) -> None:
    fake_hub.repositories[f"models/{NAME}"] = model_bytes
    assert remote.cached_folder(repository(), ["config.json"]) is None
    folder = remote.download(repository(), ("config.json",), remote.list_files(repository()))
    asked = len(fake_hub.requests)
    assert remote.cached_folder(repository(), ["config.json"]) == folder
    assert remote.cached_folder(repository(), ["*.safetensors"]) is None
    assert len(fake_hub.requests) == asked


def test_pages_and_hosts() -> None:
    hub = Hub(endpoint="https://huggingface.co", cache=Path("c"))
    model = Repository(hub=hub, name="a/b", revision=None)
    data = Repository(hub=hub, name="a/b", revision=None, kind="dataset")
    assert (model.page, model.host) == ("https://huggingface.co/a/b", "huggingface.co")
    assert data.page == "https://huggingface.co/datasets/a/b"
