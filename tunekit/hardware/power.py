"""What a machine draws: at the wall while it trains, and at the worst moment."""

from __future__ import annotations

from collections.abc import Sequence

from tunekit.hardware.spec import Gpu, Hardware

TRAINING_SHARE = 0.85
"""Of a card's limit, averaged over a run: a 4090 draws 375 to 400 of 450 W (published runs of 7B to 70B)."""
SUPPLY_EFFICIENCY = 0.92
"""Of a supply of the 80 PLUS Gold or Platinum class near half its load."""
HOST_SHARE = 0.6
"""Of the host's peak, averaged: processors wait for cards, except while the optimizer runs on them."""
ASSUMED_HOST_WATTS = 250
"""Where a machine does not say: a desktop's CPU of 170 W, board, RAM, drives and fans."""


def wall_watts(gpus: Sequence[Gpu], host_watts: int) -> int:
    """Watts at the wall while every card trains: (cards + host) / efficiency of the supply."""
    cards = sum(card.power_watts for card in gpus) * TRAINING_SHARE
    host = host_watts * (HOST_SHARE if gpus else 1.0)
    return round((cards + host) / SUPPLY_EFFICIENCY)


def load_watts(hardware: Hardware) -> int:
    """Watts at the wall while the machine trains: its own figure, or derived."""
    power = hardware.power
    return power.load_watts if power else wall_watts(hardware.gpus, ASSUMED_HOST_WATTS)


def peak_watts(hardware: Hardware) -> int:
    """What the supply must give when all cards reach their limit together and the host its peak."""
    host = hardware.power.host_watts if hardware.power else ASSUMED_HOST_WATTS
    return sum(card.power_watts for card in hardware.gpus) + host
