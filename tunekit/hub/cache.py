"""What is on this disk already: the hub's cache, and models converted from GGUF."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["model", "dataset"]

CONVERTED_MARKER = "tunekit_converted.json"
"""Written last into a folder converted from GGUF: without it the folder is not whole."""

_SAMPLE_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """Which hub is asked, and where its files are kept; as huggingface_hub reads its environment variables."""

    endpoint: str
    cache: Path


def hub_of(environ: Mapping[str, str]) -> Hub:
    """HF_ENDPOINT, and HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME or XDG_CACHE_HOME, in this order."""
    cache = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    cache = cache or os.path.join(hub_home(environ), "hub")
    endpoint = environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return Hub(endpoint=endpoint.rstrip("/"), cache=Path(os.path.expandvars(cache)).expanduser())


def hub_home(environ: Mapping[str, str]) -> str:
    """HF_HOME, or where huggingface's libraries keep their files without it."""
    return environ.get("HF_HOME", os.path.join(environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"))


def snapshot(hub: Hub, repo: str, revision: str | None, kind: Kind = "model") -> Path | None:
    """The cached folder of a hub repository at `revision`, whole or not, or None.

    The layout is documented at https://huggingface.co/docs/huggingface_hub/guides/manage-cache: read here without the
    library, whose import takes 0.3 s.
    """
    folder = hub.cache / f"{kind}s--{repo.replace('/', '--')}"
    reference = folder / "refs" / (revision or "main")
    commit = reference.read_text().strip() if os.path.isfile(reference) else revision
    if not commit or ".." in Path(commit).parts:
        return None
    found = folder / "snapshots" / commit
    return found if os.path.isdir(found) else None


def converted_gguf_dir(gguf: Path) -> Path:
    """Where the model in `gguf` is kept once transformers' format is made of it; the folder may not exist yet.

    `${XDG_CACHE_HOME:-~/.cache}/tunekit/gguf/NAME-HASH`: the hash is of the file's size and of its first and last MiB,
    so that a copy or a reinstalled package finds the same folder.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return caches / "tunekit" / "gguf" / f"{gguf.stem}-{_fingerprint(gguf)}"


def _fingerprint(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, size - _SAMPLE_BYTES))
        digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:12]
