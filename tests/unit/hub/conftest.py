"""A hub on 127.0.0.1 that speaks as much of the real one's language as fetching needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "a" * 40
MISSING, GATED, BROKEN = "missing", "gated", "broken"


@dataclass
class FakeHub:
    """Repositories by `models/owner/name` or `datasets/owner/name`; each maps a file's name to its bytes."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes to claim instead of the real ones."""
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""

    def downloaded(self) -> list[str]:
        """Files whose bytes were asked for."""
        return [line.split("/", 5)[-1] for line in self.requests if line.startswith("GET") and "/resolve/" in line]


def handler_for(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            return

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.requests.append(f"{self.command} {path}")
            status, headers, body = respond(hub, path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    return Handler


Answer = tuple[int, dict[str, str], bytes]
NOT_GRANTED: Answer = (
    401,
    {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this repo is restricted"},
    b"{}",
)


def respond(hub: FakeHub, path: str) -> Answer:
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        return api(hub, parts[1:])
    if parts[0] == "datasets":
        return file_of(hub, "datasets/" + "/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
    return file_of(hub, "models/" + "/".join(parts[:2]), parts[3], "/".join(parts[4:]))


def refusal(hub: FakeHub, repository: str, revision: str) -> Answer | None:
    if repository in hub.broken:
        return 500, {}, b"{}"
    if repository not in hub.repositories:
        return 404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b"{}"
    if revision not in ("main", COMMIT):
        return 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}, b"{}"
    return None


def api(hub: FakeHub, parts: list[str]) -> Answer:
    repository, rest = "/".join(parts[:3]), parts[3:]
    refused = refusal(hub, repository, rest[1] if len(rest) > 1 else "main")
    if refused:
        return refused
    if rest == ["auth-check"]:
        return NOT_GRANTED if repository in hub.gated else (200, {}, b"{}")
    files = hub.repositories[repository]
    size = {name: hub.sizes.get(name, len(content)) for name, content in files.items()}
    if rest[:1] == ["tree"]:
        listing: Any = [{"type": "file", "path": name, "size": size[name], "oid": oid(files[name])} for name in files]
    else:
        siblings = [{"rfilename": name, "size": size[name], "blobId": oid(files[name])} for name in files]
        listing = {"id": "/".join(parts[1:3]), "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
    return 200, {"Content-Type": "application/json"}, json.dumps(listing).encode()


def file_of(hub: FakeHub, repository: str, revision: str, name: str) -> Answer:
    refused = refusal(hub, repository, revision)
    if refused:
        return refused
    if repository in hub.gated:
        return NOT_GRANTED
    if name not in hub.repositories[repository]:
        return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b"{}"
    content = hub.repositories[repository][name]
    return 200, {"ETag": f'"{oid(content)}"', "X-Repo-Commit": COMMIT}, content


def oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, and no wish of the environment about the hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "hf" / "hub"


@pytest.fixture
def fake_hub(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def no_hub(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that nobody answers for: the reserved port 9 of this machine."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return empty_cache


def safetensors(size: int = 8) -> bytes:
    """A whole safetensors file with one tensor of `size` bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


TINY_CONFIG = {
    "model_type": "llama",
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


@pytest.fixture
def model_bytes() -> dict[str, bytes]:
    """A whole model's files, and files that must not be fetched."""
    return {
        "config.json": json.dumps(TINY_CONFIG).encode(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "model.safetensors": safetensors(),
        "pytorch_model.bin": b"old",
        "consolidated.safetensors": safetensors(16),
        "original/consolidated.00.pth": b"older",
        "README.md": b"# a model",
    }


@pytest.fixture
def model_folder(tmp_path: Path, model_bytes: dict[str, bytes]) -> Callable[..., Path]:
    """Writes a model folder; keyword arguments replace files, None leaves them out."""

    def write(changes: dict[str, bytes | None] | None = None, name: str = "model") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in {**model_bytes, **(changes or {})}.items():
            if content is not None and "/" not in file:
                (folder / file).write_bytes(content)
        return folder

    return write
