"""What a card reaches of its data sheet: by what it is, and by how far its power limit was lowered."""

from __future__ import annotations

from tunekit.hardware.gpu_table import card_of
from tunekit.hardware.spec import Gpu

POWER_BOUND = 0.4
"""1e12 operations per second and watt beyond which cards are held back: RTX 4090 0.37, A5000 0.48, L40S 1.03."""
HELD_BACK = 0.65
"""Of the peak beyond it: A5000 and L40S in published runs; V100 83 of 125 (1803.04014)."""
OTHER_BOARDS = ("pcie", "nvl", "max-q")
KNEE, SLOPE, STEEP = 0.6, 0.2, 2.0
"""A lowered limit: (limit / maker's limit)^0.2 down to 0.6 of it, squares below.

An RTX 3090 at 280 of 350 W keeps over 95 % (Puget Systems, TensorFlow), and fsdp_qlora's runs on two of them are as
fast as this model makes unlimited ones; at 250 W 85 to 94 %, at 200 W 60 to 81 %, at 150 W 26 to 41 % (prompts and
generation). An RTX 4090 clocks at 2.60 of 2.72 GHz with 70 % of its watts and at 2.44 with 60 % (Quasarzone, games).
"""


def large_products(gpu: Gpu) -> tuple[float, str]:
    """Share of the data sheet's peak that large 16-bit products reach, and where that was seen.

    The kind of a card is that of its name; a limit that was set is no part of it.
    """
    share, source = _at_full_power(gpu)
    clocks = clock_share(gpu)
    if clocks == 1.0:
        return share, source
    return share * clocks, f"{source}; limited to {gpu.power_watts} of {_watts(gpu)} W: {clocks:.0%} of that"


def clock_share(gpu: Gpu) -> float:
    """Share of its speed that a card keeps at its power limit: 1 at the maker's and above, and of unknown cards."""
    known = _watts(gpu)
    share = gpu.power_watts / known if known else 1.0
    if share >= 1.0:
        return 1.0
    kept = max(share, KNEE) ** SLOPE
    return float(kept if share >= KNEE else kept * (share / KNEE) ** STEEP)


def fp32_share(gpu: Gpu) -> float:
    """Plain 32-bit units against tensor cores, by data sheets.

    A100 and H100 1/16, B200 1/28, V100 and T4 1/8, workstation cards 1/4, GeForce 1/2.
    """
    capability = gpu.compute_capability
    if capability < 8.0:
        return 1 / 8
    if capability == 8.0 or 9.0 <= capability < 10.0:
        return 1 / 16
    if 10.0 <= capability < 12.0:
        return 1 / 28
    return 1 / 2 if _unbound(gpu) else 1 / 4


def _at_full_power(gpu: Gpu) -> tuple[float, str]:
    if gpu.compute_capability == 8.0:
        return 0.857, "as A100: 267 of 312 measured by stas00/ml-engineering"
    if 9.0 <= gpu.compute_capability < 10.0:
        return 0.75, "as H100: 794 of 989 in the best shape (stas00/ml-engineering), less in published runs"
    if _unbound(gpu):
        return 1.0, "power to spare at the data sheet's clock: LoHan trains 13B at 156 of 165 on one RTX 4090"
    bound = f"more than {POWER_BOUND:g}e12 a watt: power holds it back, as measured on A5000, L40S and V100"
    if card_of(gpu) is not None:
        return HELD_BACK, bound
    # Nobody knows the maker's limit of such a card: what its watts carry, which no more of them makes slower.
    carried = min(1.0, POWER_BOUND * gpu.power_watts / gpu.bf16_tflops)
    return max(HELD_BACK, carried), "a card that is not in tunekit's table: what its watts carry"


def _unbound(gpu: Gpu) -> bool:
    """Whether power lets the card reach its data sheet: by the maker's figures, or by name where it is not known."""
    known = card_of(gpu)
    if known is None:
        return "geforce" in gpu.name.casefold()
    return known.gpu.bf16_tflops / known.gpu.power_watts <= POWER_BOUND


def _watts(gpu: Gpu) -> int | None:
    """The maker's watts; None where the card is another board than the one in the table, with watts of its own."""
    known = card_of(gpu)
    if known is None or any(_says(gpu, board) and not _says(known.gpu, board) for board in OTHER_BOARDS):
        return None
    return known.gpu.power_watts


def _says(gpu: Gpu, word: str) -> bool:
    return word in gpu.name.casefold()
