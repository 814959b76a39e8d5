"""A hardware file as text becomes a `Hardware`; every fault is reported, each with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from tunekit.errors import Problem, RecipeError
from tunekit.hardware.gpu_table import known_gpus
from tunekit.hardware.spec import Disk, Gpu, Hardware, Host, Link
from tunekit.hardware.yaml_lines import YamlLines, read_yaml_lines
from tunekit.units import GB, GIB, MIB

Kind = Literal["text", "count", "amount", "flag", "section", "list"]

TOP: Mapping[str, Kind] = {
    "description": "text",
    "gpus": "section",
    "link": "section",
    "host": "section",
    "disks": "list",
    "cpu_processes": "count",
    "source": "text",
}
GPUS: Mapping[str, Kind] = {
    "model": "text",
    "count": "count",
    "name": "text",
    "memory_mib": "amount",
    "usable_gib": "amount",
    "bf16_tflops": "amount",
    "memory_bandwidth_gb": "amount",
    "compute_capability": "amount",
    "power_watts": "amount",
}
LINK: Mapping[str, Kind] = {"pcie_generation": "count", "pcie_lanes": "count", "nvlink": "flag", "p2p": "flag"}
HOST: Mapping[str, Kind] = {
    "cpu": "text",
    "cores": "count",
    "ram_gib": "amount",
    "usable_ram_gb": "amount",
    "ram_bandwidth_gb": "amount",
    "memlock_unlimited": "flag",
}
_OPTIONAL = ("memlock_unlimited",)
DISK: Mapping[str, Kind] = {
    "name": "text",
    "total_gb": "amount",
    "usable_gb": "amount",
    "read_gb": "amount",
    "write_gb": "amount",
}
_WORDS: Mapping[Kind, str] = {
    "text": "text",
    "count": "a whole number, 1 or more",
    "amount": "a number above 0",
    "flag": "true or false",
    "section": "a section of `key: value` lines",
    "list": "a list of sections",
}


def hardware_from_yaml(text: str, *, name: str, file: str) -> Hardware:
    """Read a hardware file. RecipeError: every unknown, missing or impossible value, each with file and line."""
    source = read_yaml_lines(text, file=file)
    reader = _Reader(source)
    reader.section("", source.content, TOP, required=("host",))
    gpus, link = reader.gpus(), reader.link()
    hardware = Hardware(
        name=name,
        description=str(source.content.get("description", name)),
        gpus=gpus,
        link=link,
        host=reader.host(),
        disks=reader.disks(),
        cpu_processes=reader.number(source.content, "", "cpu_processes", default=2),
        source=str(source.content.get("source", file)),
    )
    if reader.problems:
        raise RecipeError(sorted(reader.problems, key=reader.line), source=file)
    return hardware


class _Reader:
    """Takes values out of the file and collects what is wrong; a wrong value counts as 1 until all is read."""

    def __init__(self, source: YamlLines) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def line(self, problem: Problem) -> int:
        """Line of a problem, for sorting."""
        return int(problem.where.rpartition(":")[2]) if ":" in problem.where else 0

    def add(self, key: str, found: str, *, allowed: str = "", hint: str = "") -> None:
        """Note a problem at the line of `key`."""
        where = self.source.where(key)
        self.problems.append(Problem(key=key, where=where, found=found, allowed=allowed, hint=hint))

    def section(
        self, prefix: str, section: Mapping[str, Any], keys: Mapping[str, Kind], *, required: Sequence[str]
    ) -> None:
        """Check names, kinds and presence of the keys of one section."""
        for name, value in section.items():
            if name not in keys:
                near = get_close_matches(str(name), list(keys), n=1)
                hint = f"did you mean {near[0]}?" if near else ""
                self.add(f"{prefix}{name}", "unknown key", allowed=", ".join(keys), hint=hint)
            elif not _is_kind(value, keys[name]):
                self.add(f"{prefix}{name}", f"found {value!r}", allowed=_WORDS[keys[name]])
        for name in required:
            if name not in section:
                self.add(f"{prefix}{name}", "missing", allowed=_WORDS[keys[name]])

    def gpus(self) -> tuple[Gpu, ...]:
        """The cards; none when the section is left out."""
        section = self._subsection("gpus")
        if section is None:
            return ()
        model = section.get("model")
        known = known_gpus().get(str(model)) if model is not None else None
        if model is not None and known is None:
            near = get_close_matches(str(model), list(known_gpus()), n=1)
            hint = f"did you mean {near[0]}?" if near else "leave model out and write the numbers"
            self.add("gpus.model", f"{model!r} is not in the table", allowed=", ".join(known_gpus()), hint=hint)
        numbers = () if model is not None else tuple(name for name in GPUS if name not in ("model", "count"))
        self.section("gpus.", section, GPUS, required=("count", *numbers))
        card = self._gpu(section, known.gpu if known else None)
        if card.usable_bytes > card.memory_bytes and (known or model is None):
            self.add("gpus.usable_gib", "more than memory_mib", allowed="at most the card's memory")
        return (card,) * self.number(section, "gpus.", "count")

    def link(self) -> Link | None:
        """How the cards are joined; asked for only where there are cards."""
        section = self._subsection("link")
        if section is None:
            if isinstance(self.source.content.get("gpus"), Mapping):
                self.add("link", "missing", allowed=_WORDS["section"])
            return None
        self.section("link.", section, LINK, required=tuple(LINK))
        return Link(
            pcie_generation=self.number(section, "link.", "pcie_generation"),
            pcie_lanes=self.number(section, "link.", "pcie_lanes"),
            nvlink=section.get("nvlink") is True,
            p2p=section.get("p2p") is True,
        )

    def host(self) -> Host:
        """The machine around the cards."""
        section = self._subsection("host") or {}
        required = tuple(name for name in HOST if name not in _OPTIONAL) if section else ()
        self.section("host.", section, HOST, required=required)
        ram, usable = self._bytes(section, "host.ram_gib", GIB), self._bytes(section, "host.usable_ram_gb", GB)
        if usable > ram:
            self.add("host.usable_ram_gb", "more than ram_gib", allowed=f"at most {ram / GB:.0f}")
        return Host(
            cpu=str(section.get("cpu")),
            cores=self.number(section, "host.", "cores"),
            ram_bytes=ram,
            usable_ram_bytes=usable,
            ram_bandwidth=self._bytes(section, "host.ram_bandwidth_gb", GB),
            memlock_unlimited=section.get("memlock_unlimited") is True,
        )

    def disks(self) -> tuple[Disk, ...]:
        """The drives, the one with the caches and the run directory first."""
        entries = self.source.content.get("disks")
        if not isinstance(entries, list) or not entries:
            self.add("disks", "missing", allowed="at least one drive")
            return ()
        return tuple(self._disk(f"disks.{index}", entry) for index, entry in enumerate(entries))

    def number(self, section: Mapping[str, Any], prefix: str, name: str, *, default: int = 1) -> int:
        """A whole number that `section` has checked."""
        value = section.get(name, default)
        return int(value) if _is_kind(value, "count") else 1

    def _subsection(self, name: str) -> Mapping[str, Any] | None:
        section = self.source.content.get(name)
        return section if isinstance(section, Mapping) else None

    def _bytes(self, section: Mapping[str, Any], key: str, unit: int) -> int:
        value = section.get(key.rpartition(".")[2])
        return int(float(value) * unit) if value is not None and _is_kind(value, "amount") else unit

    def _gpu(self, section: Mapping[str, Any], known: Gpu | None) -> Gpu:
        def size(name: str, unit: int, attribute: str) -> int:
            if known is not None and name not in section:
                return int(getattr(known, attribute))
            return self._bytes(section, f"gpus.{name}", unit)

        def rate(name: str) -> float:
            value = section.get(name, getattr(known, name, 1.0))
            return float(value) if _is_kind(value, "amount") else 1.0

        return Gpu(
            name=str(section.get("name", known.name if known else "GPU")),
            memory_bytes=size("memory_mib", MIB, "memory_bytes"),
            usable_bytes=size("usable_gib", GIB, "usable_bytes"),
            bf16_tflops=rate("bf16_tflops"),
            memory_bandwidth=size("memory_bandwidth_gb", GB, "memory_bandwidth"),
            compute_capability=rate("compute_capability"),
            power_watts=int(rate("power_watts")),
        )

    def _disk(self, key: str, entry: Any) -> Disk:
        if not isinstance(entry, Mapping):
            self.add(key, f"found {entry!r}", allowed=_WORDS["section"])
            entry = {}
        else:
            self.section(f"{key}.", entry, DISK, required=tuple(DISK))
        total, usable = self._bytes(entry, f"{key}.total_gb", GB), self._bytes(entry, f"{key}.usable_gb", GB)
        if usable > total:
            self.add(f"{key}.usable_gb", "more than total_gb", allowed=f"at most {total / GB:.0f}")
        return Disk(
            name=str(entry.get("name")),
            total_bytes=total,
            usable_bytes=usable,
            read_rate=self._bytes(entry, f"{key}.read_gb", GB),
            write_rate=self._bytes(entry, f"{key}.write_gb", GB),
        )


def _is_kind(value: Any, kind: Kind) -> bool:
    if kind == "count":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if kind == "amount":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "section":
        return isinstance(value, Mapping)
    return isinstance(value, list if kind == "list" else str)
