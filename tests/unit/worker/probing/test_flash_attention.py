from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tunekit.hardware.probing import Options
from tunekit.worker.probing.flash_attention import measure


def test_a_package_that_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(__version__="2.8.3"))
    assert measure(Options()) == {"version": "2.8.3"}


def test_a_package_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(ImportError):
        measure(Options())
