"""NVML as pynvml offers it, with cards of our own: the seam that probes are tested at."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from tunekit.units import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What one card answers."""

    name: str | bytes = "NVIDIA GeForce RTX 4090"
    uuid: str = "GPU-a"
    total: int = 24_564 * MIB
    free: int = 24_100 * MIB
    capability: tuple[int, int] = (8, 9)
    milliwatts: int = 450_000
    generation: int = 4
    lanes: int = 8
    nvlink: int = 0
    utilisation: int = 97
    celsius: int = 65
    drawn_milliwatts: int = 380_000
    clock: int = 2600
    most_clock: int = 3105
    throttle: int = 0
    lost: bool = False
    holders: tuple[tuple[int, int | None], ...] = ()
    """(pid, bytes) of processes that hold memory."""


class FakeNvml:
    """The functions of pynvml that tunekit calls. A function named in `refuses` raises as NVML does."""

    class NVMLError(Exception):
        """As in pynvml."""

    NVML_FEATURE_ENABLED = 1
    NVML_P2P_CAPS_INDEX_READ = 0
    NVML_P2P_STATUS_OK = 0
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1

    def __init__(self, cards: tuple[Card, ...], *, peers: bool = False, refuses: tuple[str, ...] = ()) -> None:
        self.cards = cards
        self.log: list[str] = []
        self.missing: tuple[int, ...] = ()
        self._refuses = refuses
        self._peers = peers

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name.startswith("nvml") and name in self._refuses:
            error = f"refused: {name}"
            return lambda *_: (_ for _ in ()).throw(self.NVMLError(error))
        return value

    def nvmlInit(self) -> None:
        self.log.append("init")

    def nvmlShutdown(self) -> None:
        self.log.append("shutdown")

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        if index in self.missing:
            raise self.NVMLError("GPU is lost")
        return self.cards[index]

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> SimpleNamespace:
        if card.lost:
            raise self.NVMLError("GPU is lost")
        return SimpleNamespace(total=card.total, free=card.free, used=card.total - card.free)

    def nvmlDeviceGetCudaComputeCapability(self, card: Card) -> tuple[int, int]:
        return card.capability

    def nvmlDeviceGetPowerManagementLimit(self, card: Card) -> int:
        return card.milliwatts

    def nvmlDeviceGetName(self, card: Card) -> str | bytes:
        return card.name

    def nvmlDeviceGetUUID(self, card: Card) -> str:
        return card.uuid

    def nvmlDeviceGetMaxPcieLinkGeneration(self, card: Card) -> int:
        return card.generation

    def nvmlDeviceGetCurrPcieLinkWidth(self, card: Card) -> int:
        return card.lanes

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Card:
        return next(card for card in self.cards if card.uuid == uuid)

    def nvmlDeviceGetCurrPcieLinkGeneration(self, card: Card) -> int:
        return card.generation

    def nvmlDeviceGetNvLinkState(self, card: Card, _link: int) -> int:
        return card.nvlink

    def nvmlDeviceGetP2PStatus(self, _one: Card, _other: Card, _index: int) -> int:
        return 0 if self._peers else 1

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> SimpleNamespace:
        return SimpleNamespace(gpu=card.utilisation, memory=50)

    def nvmlDeviceGetTemperature(self, card: Card, _sensor: int) -> int:
        return card.celsius

    def nvmlDeviceGetPowerUsage(self, card: Card) -> int:
        return card.drawn_milliwatts

    def nvmlDeviceGetPowerManagementDefaultLimit(self, card: Card) -> int:
        return 450_000

    def nvmlDeviceGetClockInfo(self, card: Card, _domain: int) -> int:
        return card.clock

    def nvmlDeviceGetMaxClockInfo(self, card: Card, _domain: int) -> int:
        return card.most_clock

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, card: Card) -> int:
        return card.throttle

    def nvmlDeviceGetComputeRunningProcesses(self, card: Card) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in card.holders]
