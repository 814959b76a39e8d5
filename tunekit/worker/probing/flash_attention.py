"""Whether flash-attn loads beside this torch."""

from __future__ import annotations

import importlib

from tunekit.hardware.probing import Options, Result


def measure(options: Options) -> Result:
    """Its `version`. ImportError: it is built for another torch, or not installed."""
    package = importlib.import_module("flash_attn")
    return {"version": str(getattr(package, "__version__", ""))}
