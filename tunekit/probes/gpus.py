"""What the NVIDIA driver says about the cards, through NVML: no torch, no CUDA context, well under a second."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, TypeVar

Value = TypeVar("Value")

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """One card now. `index` is the driver's order; rates that the driver does not tell are None."""

    index: int
    name: str
    uuid: str
    total_bytes: int
    free_bytes: int
    compute_capability: float
    power_watts: int | None
    pcie_generation: int | None
    pcie_lanes: int | None
    nvlink: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReport:
    """All cards in the driver's order. `missing` says why there are none: no library, no driver, no card."""

    gpus: tuple[GpuReading, ...] = ()
    driver: str | None = None
    p2p: bool = False
    missing: str | None = None

    @property
    def free_bytes(self) -> tuple[int, ...]:
        """Free memory per card."""
        return tuple(gpu.free_bytes for gpu in self.gpus)

    @property
    def uuids(self) -> tuple[str, ...]:
        """UUID per card."""
        return tuple(gpu.uuid for gpu in self.gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """A card's link to the host at this moment; a card that does nothing falls back to a lower generation."""

    generation: int
    lanes: int


def read_gpus(nvml: Any = None) -> GpuReport:
    """Ask NVML for every card. `nvml` is a module with the functions of pynvml; pynvml itself when left out.

    Never raises: without library, driver or card the report is empty and says so.
    """
    library = nvml if nvml is not None else nvml_library()
    if library is None:
        return GpuReport(missing="the package nvidia-ml-py is not installed (pip install nvidia-ml-py)")
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return GpuReport(missing=f"no NVIDIA driver answers ({error})")
    try:
        return _report(library)
    except library.NVMLError as error:
        return GpuReport(missing=f"the NVIDIA driver refused ({error})")
    finally:
        library.nvmlShutdown()


def read_links(uuids: Iterable[str], nvml: Any = None) -> tuple[LinkState, ...]:
    """The links of these cards as they are now, in this order; none where the driver does not tell all of them."""
    library = nvml if nvml is not None else nvml_library()
    if library is None:
        return ()
    try:
        library.nvmlInit()
    except library.NVMLError:
        return ()
    try:
        handles = [library.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
        return tuple(
            LinkState(
                generation=int(library.nvmlDeviceGetCurrPcieLinkGeneration(handle)),
                lanes=int(library.nvmlDeviceGetCurrPcieLinkWidth(handle)),
            )
            for handle in handles
        )
    except library.NVMLError:
        return ()
    finally:
        library.nvmlShutdown()


def visible_gpus(gpus: Sequence[GpuReading], visible: str | None) -> tuple[GpuReading, ...]:
    """The cards that CUDA_VISIBLE_DEVICES leaves over, in its order; all when it is not set.

    As in CUDA, names are indices or beginnings of UUIDs, and everything from the first unknown name on is hidden.
    """
    if visible is None:
        return tuple(gpus)
    chosen: list[GpuReading] = []
    for name in (part.strip() for part in visible.split(",")):
        found = [gpu for gpu in gpus if name and (name == str(gpu.index) or gpu.uuid.startswith(name))]
        if not found or found[0] in chosen:
            break
        chosen.append(found[0])
    return tuple(chosen)


def visible_here() -> str | None:
    """CUDA_VISIBLE_DEVICES of this process."""
    return os.environ.get(VISIBLE)


def nvml_library() -> Any:
    """The module pynvml, or None where it is not installed."""
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


def _report(nvml: Any) -> GpuReport:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    gpus = tuple(_reading(nvml, index, handle) for index, handle in enumerate(handles))
    driver = _text(nvml.nvmlSystemGetDriverVersion())
    return GpuReport(
        gpus=gpus,
        driver=driver,
        p2p=_all_reach_each_other(nvml, handles),
        missing=None if gpus else f"driver {driver} sees no card",
    )


def _reading(nvml: Any, index: int, handle: Any) -> GpuReading:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    milliwatts = told(nvml, lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle))
    return GpuReading(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        total_bytes=int(memory.total),
        free_bytes=int(memory.free),
        compute_capability=float(f"{major}.{minor}"),
        power_watts=None if milliwatts is None else round(milliwatts / 1000),
        # The generation drops while a card is idle, the width does not.
        pcie_generation=told(nvml, lambda: int(nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle))),
        pcie_lanes=told(nvml, lambda: int(nvml.nvmlDeviceGetCurrPcieLinkWidth(handle))),
        nvlink=told(nvml, lambda: nvml.nvmlDeviceGetNvLinkState(handle, 0)) == nvml.NVML_FEATURE_ENABLED,
    )


def _all_reach_each_other(nvml: Any, handles: Sequence[Any]) -> bool:
    return len(handles) > 1 and all(_reaches(nvml, one, other) for one, other in permutations(handles, 2))


def _reaches(nvml: Any, one: Any, other: Any) -> bool:
    def ask() -> bool:
        status = nvml.nvmlDeviceGetP2PStatus(one, other, nvml.NVML_P2P_CAPS_INDEX_READ)
        return bool(status == nvml.NVML_P2P_STATUS_OK)

    return told(nvml, ask) is True


def told(nvml: Any, ask: Callable[[], Value]) -> Value | None:
    """The answer, or None where this card does not support the question."""
    try:
        return ask()
    except nvml.NVMLError:
        return None


def _text(value: Any) -> str:
    # pynvml before version 11.5 answered with bytes.
    return value.decode() if isinstance(value, bytes) else str(value)
