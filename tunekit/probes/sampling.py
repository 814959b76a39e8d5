"""Looks at the cards, the RAM and the drives of a run while it goes on; a look takes a millisecond or two."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tunekit.probes.gpus import nvml_library, told
from tunekit.probes.host import read_drive, read_memory, read_swap
from tunekit.watch.sample import DriveSample, GpuSample, HostSample, Sample

MILLI = 1000


class Sampler:
    """Keeps the driver open between looks. `drives` are folders by purpose; `cards` indices of the driver.

    A card that stops answering is reported with the driver's words, a drive that is gone is left out.
    """

    def __init__(
        self,
        cards: Sequence[int],
        drives: Mapping[str, Path],
        nvml: Any = None,
        *,
        proc: Path = Path("/proc"),
        cgroups: Path = Path("/sys/fs/cgroup"),
    ) -> None:
        self._kernel = (proc, cgroups)
        self._cards = tuple(cards)
        self._drives = dict(drives)
        self._nvml: Any = (nvml if nvml is not None else nvml_library()) if cards else None
        self._open = False

    def look(self) -> Sample:
        """Everything now."""
        gpus, lost = self._look_at_cards()
        return Sample(
            time=round(time.time(), 3),
            gpus=gpus,
            lost=lost or None,
            host=self.memory(),
            drives=tuple(self._look_at_drives()),
        )

    def memory(self) -> HostSample:
        """RAM and swap now: cheap enough for once a second."""
        memory, swap = read_memory(*self._kernel), read_swap(*self._kernel)
        return HostSample(
            total_bytes=memory.total,
            available_bytes=memory.available,
            swap_total_bytes=swap.total,
            swap_free_bytes=swap.free,
            cgroup_limit_bytes=memory.limit,
            cgroup_used_bytes=memory.used,
        )

    def close(self) -> None:
        """Let go of the driver."""
        if self._open:
            self._open = False
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _look_at_cards(self) -> tuple[tuple[GpuSample, ...], dict[int, str]]:
        found, lost = [], {}
        for index in self._cards if self._is_open() else ():
            try:
                found.append(read_card(self._nvml, index, self._nvml.nvmlDeviceGetHandleByIndex(index)))
            except self._nvml.NVMLError as error:
                lost[index] = str(error)
        return tuple(found), lost

    def _is_open(self) -> bool:
        """Whether a driver answers; one that does not is asked again at the next look."""
        if not self._open and self._nvml is not None:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlInit()
                self._open = True
        return self._open

    def _look_at_drives(self) -> list[DriveSample]:
        found = []
        for purpose, folder in self._drives.items():
            with suppress(OSError):
                drive = read_drive(folder)
                found.append(
                    DriveSample(purpose=purpose, path=str(folder), free_bytes=drive.free, total_bytes=drive.total)
                )
        return found


def read_card(nvml: Any, index: int, handle: Any) -> GpuSample:
    """One card now. NVMLError: it does not answer at all; what it does not support is None."""
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)

    def ask(name: str, *more: int) -> Any:
        return told(nvml, lambda: getattr(nvml, name)(handle, *more))

    rates = ask("nvmlDeviceGetUtilizationRates")
    watts, limit, default = (
        None if milliwatts is None else milliwatts / MILLI
        for milliwatts in (
            ask("nvmlDeviceGetPowerUsage"),
            ask("nvmlDeviceGetPowerManagementLimit"),
            ask("nvmlDeviceGetPowerManagementDefaultLimit"),
        )
    )
    return GpuSample(
        index=index,
        used_bytes=int(memory.used),
        total_bytes=int(memory.total),
        utilisation=None if rates is None else int(rates.gpu),
        celsius=ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        watts=watts,
        limit_watts=limit,
        default_watts=default,
        sm_clock=ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        max_sm_clock=ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM),
        # The newer name of the same question is not known to every library.
        throttle=int(ask("nvmlDeviceGetCurrentClocksThrottleReasons") or 0),
        pcie_generation=ask("nvmlDeviceGetCurrPcieLinkGeneration"),
        pcie_lanes=ask("nvmlDeviceGetCurrPcieLinkWidth"),
    )
