"""Why a card runs below its clocks, in words, and what to type.

Source of the bits: `nvmlClocksEventReasons` of NVML (nvml.h, driver 580). An idle card, a fixed application clock and a
display's clock are no trouble and are left out.
"""

from __future__ import annotations

from tunekit.watch.sample import GpuSample

POWER_CAP = 0x4
HW_SLOWDOWN = 0x8
SW_HEAT = 0x20
HW_HEAT = 0x40
POWER_BRAKE = 0x80

HEAT = SW_HEAT | HW_HEAT
HARDWARE = HW_HEAT | POWER_BRAKE
"""With either of them the driver sets HW_SLOWDOWN too, which alone says less."""
ALWAYS_TROUBLE = HEAT | POWER_BRAKE | HW_SLOWDOWN
"""A card that is well runs at its power limit for hours; these it never shows."""

WORDS = {
    SW_HEAT: "heat (SwThermalSlowdown)",
    HW_HEAT: "heat (HwThermalSlowdown)",
    POWER_BRAKE: "the power brake of supply or board (HwPowerBrakeSlowdown)",
    HW_SLOWDOWN: "heat or power (HwSlowdown)",
    POWER_CAP: "its power limit (SwPowerCap)",
}
"""As they are said, the most telling first."""

COOLER = 0.78
"""Share of the power limit to try on a hot card: 350 of 450 W cost an RTX 4090 about a twentieth of its speed."""


def reasons(throttle: int) -> tuple[str, ...]:
    """The reasons that are trouble, in words."""
    known = throttle & ~HW_SLOWDOWN if throttle & HARDWARE else throttle
    return tuple(word for bit, word in WORDS.items() if known & bit)


def cooler_watts(gpu: GpuSample) -> int:
    """A power limit for a card that gets too hot, to ten watts."""
    limit = gpu.limit_watts or gpu.watts or 450.0
    return max(100, round(limit * COOLER / 10) * 10)


def set_limit(gpu: GpuSample, watts: float) -> str:
    """The command that sets a card's power limit."""
    return f"sudo nvidia-smi -i {gpu.index} -pl {watts:.0f}"


def cure(gpu: GpuSample) -> str:
    """What to type or to do about the reasons that hold this card back."""
    if gpu.throttle & HEAT:
        return f"{set_limit(gpu, cooler_watts(gpu))}, more air, or more space between the cards"
    if gpu.throttle & POWER_BRAKE:
        return f"one power cable per plug and a stronger supply; until then {set_limit(gpu, cooler_watts(gpu))}"
    if gpu.throttle & HW_SLOWDOWN:
        return f"{set_limit(gpu, cooler_watts(gpu))}, more air, or one power cable per plug"
    if gpu.default_watts and gpu.limit_watts and gpu.limit_watts < gpu.default_watts:
        return f"{set_limit(gpu, gpu.default_watts)} gives it back the limit that it was sold with"
    return "nothing to type: it runs at the limit that it was sold with"
