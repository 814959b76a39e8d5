"""One look at the machine while a run goes on, and its record in metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints

KIND = "sample"
"""What `kind` says in metrics.jsonl; the records of steps have none."""

Part = TypeVar("Part", "GpuSample", "HostSample", "DriveSample")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One card now; None is what this card does not tell. Clocks in MHz, power in watts, shares in percent."""

    index: int
    """The driver's order, as nvidia-smi counts."""
    used_bytes: int
    total_bytes: int
    utilisation: int | None = None
    celsius: int | None = None
    watts: float | None = None
    limit_watts: float | None = None
    default_watts: float | None = None
    """The power limit that the card was sold with."""
    sm_clock: int | None = None
    max_sm_clock: int | None = None
    throttle: int = 0
    """Bits of NVML's clocks event reasons; see `tunekit.watch.throttling`."""
    pcie_generation: int | None = None
    pcie_lanes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSample:
    """RAM of this machine, or of the cgroup where that is narrower, in bytes."""

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int = 0
    swap_free_bytes: int = 0
    cgroup_limit_bytes: int | None = None
    cgroup_used_bytes: int | None = None

    @property
    def used_bytes(self) -> int:
        """RAM that cannot be had without swapping."""
        return self.total_bytes - self.available_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveSample:
    """A drive that the run writes to, by what it is for: `output` or `nvme`."""

    purpose: str
    path: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look. `time` is in seconds since 1970; `lost` names cards that no longer answer, with the driver's words."""

    time: float
    gpus: tuple[GpuSample, ...] = ()
    host: HostSample | None = None
    drives: tuple[DriveSample, ...] = ()
    lost: Mapping[int, str] | None = None
    step_seconds: float | None = None
    """Median over the recent logged steps."""

    def record(self) -> dict[str, Any]:
        """The line of metrics.jsonl; what is not known is left out."""
        return {"kind": KIND, **_known(asdict(self))}


def sample_from(record: Mapping[str, Any]) -> Sample | None:
    """The sample in a record of metrics.jsonl; None where it is none, or is damaged."""
    if record.get("kind") != KIND:
        return None
    try:
        return Sample(
            time=float(record["time"]),
            gpus=tuple(_part(GpuSample, found) for found in record.get("gpus", ())),
            host=_part(HostSample, record["host"]) if "host" in record else None,
            drives=tuple(_part(DriveSample, found) for found in record.get("drives", ())),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _part(kind: type[Part], found: Mapping[str, Any]) -> Part:
    hints = get_type_hints(kind)
    values = {field.name: found[field.name] for field in fields(kind) if field.name in found}
    wrong = [name for name, value in values.items() if not isinstance(value, _types(hints[name]))]
    if wrong:
        raise ValueError(wrong[0])
    return kind(**values)


def _types(hint: Any) -> tuple[type, ...]:
    plain = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return (*(kind for kind in plain if kind is not NoneType), *((int,) if float in plain else ()))


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _known(inner) for name, inner in value.items() if inner is not None and inner != ()}
    return [_known(inner) for inner in value] if isinstance(value, (list, tuple)) else value
