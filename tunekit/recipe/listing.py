"""What a shipped recipe says about itself, read without the schema: fast enough for a list."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from tunekit.recipe.shipped import shipped_names, shipped_path

_VERDICT = re.compile(r"Verdict on (?P<hardware>\S+): (?P<verdict>fits|tight|rejected)\.$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One shipped recipe: its header and the values that tell recipes apart."""

    name: str
    model: str
    method: str
    zero: str
    hardware: str
    verdict: str
    """fits, tight or rejected on its hardware, as its header says and a test asserts."""
    purpose: str
    needs: str

    def as_dict(self) -> dict[str, str]:
        """The fields by name."""
        return asdict(self)


def listed_recipes() -> tuple[Listed, ...]:
    """Every shipped recipe, sorted by name."""
    return tuple(read_listed(name) for name in shipped_names("recipes"))


def read_listed(name: str) -> Listed:
    """What one shipped recipe says about itself; raises ValueError when its header has not its two lines."""
    text = shipped_text(name)
    purpose, needs = header(text)
    verdict = _VERDICT.search(needs)
    if verdict is None:
        raise ValueError(f"the second line of recipes/{name}.yaml does not end with `Verdict on HARDWARE: fits.`")
    content: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return Listed(
        name=name,
        model=content["model"]["path"],
        method=content["method"]["kind"],
        zero=content["zero"].get("preset") or f"z{content['zero']['stage']}",
        hardware=verdict["hardware"],
        verdict=verdict["verdict"],
        purpose=purpose,
        needs=needs,
    )


def header(text: str) -> tuple[str, str]:
    """The two comment lines a recipe starts with: what it is for, what it needs."""
    comments = [line.removeprefix("#").strip() for line in text.splitlines()[:2] if line.startswith("#")]
    if len(comments) != 2:
        raise ValueError("a shipped recipe starts with two comment lines")
    return comments[0], comments[1]


def shipped_text(name: str) -> str:
    """The text of a shipped recipe; raises KeyError when there is none of this name."""
    path = shipped_path(f"recipes/{name}.yaml")
    if path is None:
        raise KeyError(name)
    return path.read_text(encoding="utf-8")
