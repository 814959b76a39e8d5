"""A hardware file as text becomes a `Hardware`; every fault is reported, each with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tunekit.errors import Problem, RecipeError
from tunekit.hardware.gpu_table import NVLINK_RATE, KnownGpu, known_gpus, known_named
from tunekit.hardware.power import wall_watts
from tunekit.hardware.profile_keys import (
    DISK,
    GPUS,
    HOST,
    LINK,
    MEASURED,
    POWER,
    PRICE,
    TOP,
    WORDS,
    Kind,
    is_kind,
    required,
)
from tunekit.hardware.spec import Disk, Gpu, Hardware, Host, Link, Measured, Power, Price
from tunekit.hardware.yaml_lines import read_yaml_lines
from tunekit.source_lines import SourceLines
from tunekit.units import GB, GIB, MIB

VECTOR_BITS = 256


def hardware_from_yaml(text: str, *, name: str, file: str) -> Hardware:
    """Read a hardware file. RecipeError: every unknown, missing or impossible value, each with file and line."""
    source = read_yaml_lines(text, file=file)
    reader = _Reader(source)
    reader.section("", source.content, TOP, needed=("host",))
    gpus = reader.gpus()
    hardware = Hardware(
        name=name,
        description=str(source.content.get("description", name)),
        gpus=gpus,
        link=reader.link(len(gpus)),
        host=reader.host(),
        disks=reader.disks(),
        cpu_processes=reader.number(source.content, "cpu_processes", default=2),
        source=str(source.content.get("source", file)),
        power=reader.power(gpus),
        price=reader.price(),
        measured=reader.measured(),
    )
    if reader.problems:
        raise RecipeError(sorted(reader.problems, key=reader.line), source=file)
    return hardware


class _Reader:
    """Takes values out of the file and collects what is wrong; a wrong value counts as 1 until all is read."""

    def __init__(self, source: SourceLines) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.cards_known = True

    def line(self, problem: Problem) -> int:
        """Line of a problem, for sorting."""
        return int(problem.where.rpartition(":")[2]) if ":" in problem.where else 0

    def add(self, key: str, found: str, *, allowed: str = "", hint: str = "") -> None:
        """Note a problem at the line of `key`."""
        where = self.source.where(key)
        self.problems.append(Problem(key=key, where=where, found=found, allowed=allowed, hint=hint))

    def section(
        self, prefix: str, section: Mapping[str, Any], keys: Mapping[str, Kind], *, needed: Sequence[str]
    ) -> None:
        """Check names, kinds and presence of the keys of one section."""
        for name, value in section.items():
            if name not in keys:
                near = get_close_matches(str(name), list(keys), n=1)
                hint = f"did you mean {near[0]}?" if near else ""
                self.add(f"{prefix}{name}", "unknown key", allowed=", ".join(keys), hint=hint)
            elif not is_kind(value, keys[name]):
                self.add(f"{prefix}{name}", f"found {value!r}", allowed=WORDS[keys[name]])
        for name in needed:
            if name not in section:
                self.add(f"{prefix}{name}", "missing", allowed=WORDS[keys[name]])

    def gpus(self) -> tuple[Gpu, ...]:
        """The cards; none when the section is left out."""
        section = self._subsection("gpus")
        if section is None:
            return ()
        model = section.get("model")
        known = self._known()
        if model is not None and known is None:
            near = get_close_matches(str(model), list(known_gpus()), n=1)
            hint = f"did you mean {near[0]}?" if near else "leave model out and write the numbers"
            self.add("gpus.model", f"{model!r} is not in the table", allowed=", ".join(known_gpus()), hint=hint)
        numbers = () if model is not None else tuple(name for name in GPUS if name not in ("model", "count"))
        self.section("gpus.", section, GPUS, needed=("count", *numbers))
        card = _gpu(section, known.gpu if known else None)
        if card.usable_bytes > card.memory_bytes and (known or model is None):
            self.add("gpus.usable_gib", "more than memory_mib", allowed="at most the card's memory")
        self.cards_known = is_kind(section.get("count"), "count")
        return (card,) * self.number(section, "count")

    def link(self, cards: int) -> Link | None:
        """How the cards are joined; asked for only where there are cards."""
        section = self._subsection("link")
        if section is None:
            if isinstance(self.source.content.get("gpus"), Mapping):
                self.add("link", "missing", allowed=WORDS["section"])
            return None
        self.section("link.", section, LINK, needed=required(LINK))
        lanes = self._lanes(section, cards)
        return Link(
            pcie_generation=self.number(section, "pcie_generation"),
            pcie_lanes=min(lanes),
            nvlink=section.get("nvlink") is True,
            p2p=section.get("p2p") is True,
            card_lanes=lanes if len(set(lanes)) > 1 else (),
            nvlink_rate=self._nvlink_rate(section),
        )

    def host(self) -> Host:
        """The machine around the cards."""
        section = self._subsection("host") or {}
        self.section("host.", section, HOST, needed=required(HOST) if section else ())
        ram, usable = _bytes(section, "ram_gib", GIB), _bytes(section, "usable_ram_gb", GB)
        if usable > ram:
            self.add("host.usable_ram_gb", "more than ram_gib", allowed=f"at most {ram / GB:.0f}")
        return Host(
            cpu=str(section.get("cpu")),
            cores=self.number(section, "cores"),
            ram_bytes=ram,
            usable_ram_bytes=usable,
            ram_bandwidth=_bytes(section, "ram_bandwidth_gb", GB),
            vector_bits=self.number(section, "vector_bits", default=VECTOR_BITS),
            memlock_unlimited=section.get("memlock_unlimited") is True,
        )

    def disks(self) -> tuple[Disk, ...]:
        """The drives, the one with the caches and the run directory first."""
        entries = self.source.content.get("disks")
        if not isinstance(entries, list) or not entries:
            self.add("disks", "missing", allowed="at least one drive")
            return ()
        return tuple(self._disk(f"disks.{index}", entry) for index, entry in enumerate(entries))

    def power(self, gpus: Sequence[Gpu]) -> Power | None:
        """What the machine draws; at the wall it is derived where the file does not say."""
        section = self._subsection("power")
        if section is None:
            return None
        self.section("power.", section, POWER, needed=required(POWER))
        host = self.number(section, "host_watts")
        return Power(
            host_watts=host,
            load_watts=self.number(section, "load_watts", default=wall_watts(gpus, host)),
            supply_watts=self.number(section, "supply_watts") if "supply_watts" in section else None,
        )

    def price(self) -> Price | None:
        """What the machine costs to buy."""
        section = self._subsection("price")
        if section is None:
            return None
        self.section("price.", section, PRICE, needed=required(PRICE))
        currency = str(section.get("currency", "USD"))
        if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
            self.add("price.currency", f"found {currency!r}", allowed="three letters of ISO 4217, such as USD or CNY")
        return Price(
            amount=_amount(section, "amount") or 1.0,
            currency=currency,
            date=str(section.get("date")),
            note=str(section.get("note", "")),
        )

    def measured(self) -> Measured | None:
        """What a probe measured."""
        section = self._subsection("measured")
        if section is None:
            return None
        self.section("measured.", section, MEASURED, needed=required(MEASURED))
        rates = {name: _rate(section, f"{name.removesuffix('_rate')}_gb") for name in _RATES}
        return Measured(
            date=str(section.get("date")),
            matmul_tflops=_amount(section, "matmul_tflops"),
            **rates,
            adam_fp32_rate=_amount(section, "adam_fp32_mparam", 1e6),
            adam_bf16_rate=_amount(section, "adam_bf16_mparam", 1e6),
            adam=str(section.get("adam", "")),
        )

    def number(self, section: Mapping[str, Any], name: str, *, default: int = 1) -> int:
        """A whole number that `section` has checked."""
        value = section.get(name, default)
        return int(value) if is_kind(value, "count") else 1

    def _known(self) -> KnownGpu | None:
        """The card of the table that the file names, if any."""
        model = (self._subsection("gpus") or {}).get("model")
        return known_named(str(model)) if model is not None else None

    def _subsection(self, name: str) -> Mapping[str, Any] | None:
        section = self.source.content.get(name)
        return section if isinstance(section, Mapping) else None

    def _lanes(self, section: Mapping[str, Any], cards: int) -> tuple[int, ...]:
        value = section.get("pcie_lanes")
        if not is_kind(value, "counts"):
            return (1,)
        if not isinstance(value, list):
            return (int(value or 1),)
        if self.cards_known and len(value) != cards:
            self.add("link.pcie_lanes", f"{len(value)} widths for {cards} cards", allowed=WORDS["counts"])
        return tuple(value)

    def _nvlink_rate(self, section: Mapping[str, Any]) -> int:
        if section.get("nvlink") is not True:
            return 0
        known = self._known()
        return _rate(section, "nvlink_gb") or (known.nvlink_rate if known else 0) or NVLINK_RATE

    def _disk(self, key: str, entry: Any) -> Disk:
        if not isinstance(entry, Mapping):
            self.add(key, f"found {entry!r}", allowed=WORDS["section"])
            entry = {}
        else:
            self.section(f"{key}.", entry, DISK, needed=required(DISK))
        total, usable = _bytes(entry, "total_gb", GB), _bytes(entry, "usable_gb", GB)
        if usable > total:
            self.add(f"{key}.usable_gb", "more than total_gb", allowed=f"at most {total / GB:.0f}")
        return Disk(
            name=str(entry.get("name")),
            total_bytes=total,
            usable_bytes=usable,
            read_rate=_bytes(entry, "read_gb", GB),
            write_rate=_bytes(entry, "write_gb", GB),
            endurance_bytes=_bytes(entry, "endurance_tb", 1000 * GB) if "endurance_tb" in entry else None,
            price=_amount(entry, "price"),
        )


_RATES = ("to_gpu_rate", "from_gpu_rate", "peer_rate", "all_gather_rate", "all_reduce_rate")


def _amount(section: Mapping[str, Any], name: str, unit: float = 1.0) -> float | None:
    value = section.get(name)
    return float(value) * unit if value is not None and is_kind(value, "amount") else None


def _rate(section: Mapping[str, Any], name: str) -> int | None:
    value = _amount(section, name, GB)
    return None if value is None else round(value)


def _bytes(section: Mapping[str, Any], name: str, unit: int) -> int:
    value = _amount(section, name)
    return unit if value is None else int(value * unit)


def _gpu(section: Mapping[str, Any], known: Gpu | None) -> Gpu:
    def size(name: str, unit: int, attribute: str) -> int:
        if known is not None and name not in section:
            return int(getattr(known, attribute))
        return _bytes(section, name, unit)

    def rate(name: str) -> float:
        value = section.get(name, getattr(known, name, 1.0))
        return float(value) if is_kind(value, "amount") else 1.0

    return Gpu(
        name=str(section.get("name", known.name if known else "GPU")),
        memory_bytes=size("memory_mib", MIB, "memory_bytes"),
        usable_bytes=size("usable_gib", GIB, "usable_bytes"),
        bf16_tflops=rate("bf16_tflops"),
        memory_bandwidth=size("memory_bandwidth_gb", GB, "memory_bandwidth"),
        compute_capability=rate("compute_capability"),
        power_watts=int(rate("power_watts")),
    )
