"""Secrets: how they are known, and texts without them. Whatever tunekit prints or writes goes through `redact`.

A secret is the value of an environment variable that is named like one (HF_TOKEN, AWS_SECRET_ACCESS_KEY), a word of
the form in which a service gives them out, the user and password in a URL, or a web hook's address.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

HIDDEN = "[hidden]"

_NAMES = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PWD|PASSPHRASE|CREDENTIALS?|WEBHOOK|(?:API|ACCESS|PRIVATE|AUTH)_?KEY|KEY|PAT)"
    r"(?:_(?:ID|URL|VALUE))?$",
    re.IGNORECASE,
)
_FORMS = re.compile(
    r"(?<=://)[^\s/@\"'<>:]*:[^\s/@\"'<>]+(?=@)"  # user:password
    r"|(?<=://)[A-Za-z0-9_-]{20,}(?=@)"  # a token in the user's place
    r"|\bhf_[A-Za-z0-9]{20,}"  # Hugging Face
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # Amazon
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}|\bglpat-[A-Za-z0-9_-]{20,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[A-Za-z0-9_-]{35}"
    r"|\bwandb_v1_[A-Za-z0-9_-]{20,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"  # JSON web tokens
    r"|(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[^\s\"'<>]+"
    r"|(?<=discord\.com/api/webhooks/)[^\s\"'<>]+|(?<=discordapp\.com/api/webhooks/)[^\s\"'<>]+"
    r"|(?<=[?&])(?:access_token|api_key|apikey|auth|key|password|secret|sig|signature|token|X-Amz-Signature)"
    r"=[^\s&\"'<>]+"
)
_SHORTEST = 8
"""Shorter values are words that stand in any text, and no secrets."""


def redact(text: str, environ: Mapping[str, str] | None = None) -> str:
    """The text with `[hidden]` for every secret; `environ` is this process's environment when left out."""
    return _hiding(environ)(text)


def redact_json(text: str, environ: Mapping[str, str] | None = None) -> str:
    """JSON text with `[hidden]` for every secret in its strings, so that it stays the same JSON beside them.

    Numbers and names stay: in plain text a secret such as 12345678 would be found amid a longer number, and one that is
    a word would hide the name of a field. The text itself where nothing is to hide. ValueError: it is no JSON.
    """
    found = json.loads(text)
    hidden = _hidden(found, _hiding(environ))
    if hidden == found:
        return text
    return json.dumps(hidden, indent=2 if "\n" in text.strip() else None) + ("\n" if text.endswith("\n") else "")


def redact_forms(text: str) -> str:
    """The text with `[hidden]` for what has the form of a secret, whatever the environment holds. Pure."""
    return _FORMS.sub(HIDDEN, text)


def secret_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of variables that are named like secrets, as they stand in text, JSON and URLs; the longest first."""
    found = {value for name, value in environ.items() if is_secret_name(name) and _is_secret(value)}
    spelled = {form for value in found for form in (value, json.dumps(value)[1:-1], quote(value, safe=""))}
    return tuple(sorted(spelled, key=lambda value: (-len(value), value)))


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret: HF_TOKEN, WANDB_API_KEY, not TOKENIZERS_PARALLELISM."""
    return name != "PWD" and _NAMES.search(name) is not None


def holds_secret(text: str, environ: Mapping[str, str]) -> bool:
    """Whether anything in the text would be hidden."""
    return redact(text, environ) != text


class HidingStream:
    """A text stream that hides secrets in whatever is written to it; all else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text without its secrets; the length is that of the text as it came."""
        self._stream.write(redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write every line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _hiding(environ: Mapping[str, str] | None) -> Callable[[str], str]:
    values = secret_values(os.environ if environ is None else environ)

    def hide(text: str) -> str:
        for value in values:
            text = text.replace(value, HIDDEN)
        return _FORMS.sub(HIDDEN, text)

    return hide


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [_hidden(each, hide) for each in value]
    if isinstance(value, dict):
        return {redact_forms(name): _hidden(each, hide) for name, each in value.items()}
    return value


def _is_secret(value: str) -> bool:
    # A path names where a secret lies, and is none; but every 64th secret in base64 begins with a slash too.
    names_a_file = value.startswith(("~", "./")) or (value.startswith("/") and os.path.lexists(value))
    return len(value) >= _SHORTEST and not names_a_file
