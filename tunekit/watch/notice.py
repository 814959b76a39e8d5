"""What a notification says, and who gets it: the recipe's and the user's own addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunekit.errors import UsageError
from tunekit.recipe.schema import Occasion, WatchSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """A program with its arguments, or an address; one of the two is empty."""

    command: tuple[str, ...] = ()
    url: str = ""

    @property
    def name(self) -> str:
        """What messages call it: no argument and no path, which may hold a secret."""
        return self.command[0] if self.command else self.url.split("?")[0].split("/")[2].rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notification. `text` is a whole sentence; `facts` are fields beside it."""

    occasion: Occasion
    run: str
    run_dir: str
    host: str
    text: str
    time: float
    facts: Mapping[str, Any]

    def payload(self) -> dict[str, Any]:
        """The JSON object that is sent; chat services show its `text`."""
        return {
            "event": self.occasion,
            "text": f"tunekit: {self.run} on {self.host}: {self.text}",
            "run": self.run,
            "run_dir": self.run_dir,
            "host": self.host,
            "time": self.time,
            **self.facts,
        }


def addressees(
    watch: WatchSection, own: Mapping[str, Any], environ: Mapping[str, str], *, own_path: str = "notify.yaml"
) -> tuple[Addressee, ...]:
    """Those of the recipe and of the user's own file, without doubles.

    UsageError: a variable of the environment that is named is not set, or the user's file is none.
    """
    found: list[Addressee] = []
    for command, url in ((watch.notify_command, watch.notify_url), _own(own, own_path)):
        found += [Addressee(command=command)] if command else []
        found += [Addressee(url=_resolved(url, environ))] if url else []
    return tuple(dict.fromkeys(found))


def _own(own: Mapping[str, Any], path: str) -> tuple[tuple[str, ...], str | None]:
    command, url = own.get("command", ()), own.get("url")
    listed = isinstance(command, (list, tuple)) and all(isinstance(word, str) for word in command)
    if set(own) - {"command", "url"} or not listed or not isinstance(url, (str, type(None))):
        raise UsageError(f"{path}: it may hold `command:` (a list of texts) and `url:` (text), and nothing else.")
    return tuple(command), url


def _resolved(url: str, environ: Mapping[str, str]) -> str:
    """The address, or what the variable that it names holds."""
    address = environ.get(url[1:], "") if url.startswith("$") else url
    if not address.startswith(("http://", "https://")) or len(address.split("/")) < 3 or not address.split("/")[2]:
        what = f"{url} holds no address" if url.startswith("$") else "it is no address"
        raise UsageError(f"watch.notify_url: {what}; it begins with http:// or https://.")
    return address
