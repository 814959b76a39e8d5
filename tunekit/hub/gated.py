"""Models that their owners give only to those who ask: told before a launch waits for them. Never asks the network."""

from __future__ import annotations

import os

from tunekit.hub.cache import hub_home
from tunekit.hub.models import local_model_dir
from tunekit.hub.paths import looks_local
from tunekit.hub.remote import Repository, hub_here, way_in

GATED = ("meta-llama/", "google/gemma", "google/codegemma", "google/recurrentgemma")
"""Beginnings of the hub ids that ask for a licence to be accepted, as their pages say (2026-11)."""


def gated_hint(path: str, revision: str | None = None) -> str:
    """What to do before a launch can fetch this model; empty where it is on this disk, open, or a token is."""
    if looks_local(path) or not path.lower().startswith(GATED):
        return ""
    if os.path.exists(path) or local_model_dir(path, revision) is not None or _has_token():
        return ""
    return way_in(Repository(hub=hub_here(), name=path, revision=revision), "before the launch")


def _has_token() -> bool:
    """Where huggingface_hub looks for one."""
    given = any(os.environ.get(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"))
    file = os.environ.get("HF_TOKEN_PATH") or os.path.join(hub_home(os.environ), "token")
    return given or os.path.isfile(os.path.expanduser(file))
