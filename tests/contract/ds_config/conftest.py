"""DeepSpeed as these tests need it: on the CPU, with a world of two processes that nobody has to start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


class Recorder(dict[str, Any]):
    """A configuration that notes which of its keys DeepSpeed asks for."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def keys(self) -> Any:
        # DeepSpeed asks `name in config.keys()`; the view has to tell this recorder.
        return self


class TwoProcesses:
    """The part of an `mpu` that DeepSpeedConfig asks."""

    def get_data_parallel_world_size(self) -> int:
        return 2


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], tuple[Any, set[str]]]:
    """`parse(config)`: DeepSpeed's own reading of it in a world of two, and the keys of the top level it asked for."""
    return reader(monkeypatch)


def reader(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], tuple[Any, set[str]]]:
    """What the fixture `parse` gives."""
    pytest.importorskip("deepspeed", reason="needs the train extra")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    from deepspeed.runtime import config as library

    monkeypatch.setattr(library.dist, "get_rank", lambda: 0)

    def read(config: dict[str, Any]) -> tuple[Any, set[str]]:
        recorder = Recorder(config)
        return library.DeepSpeedConfig(recorder, mpu=TwoProcesses()), recorder.asked

    return read
