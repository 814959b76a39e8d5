from __future__ import annotations

import pytest

from tunekit.errors import MissingError
from tunekit.worker import building


def test_ops_are_built_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(building, "build_missing", asked.append)
    assert building.main(["cpu_adam", "async_io"]) == 0
    assert asked == [("cpu_adam", "async_io")]


def test_what_cannot_be_built_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(ops: tuple[str, ...]) -> None:
        raise MissingError("DeepSpeed's op cpu_adam cannot be built: no compiler")

    monkeypatch.setattr(building, "build_missing", fail)
    assert building.main(["cpu_adam"]) == 4
    assert "no compiler" in capsys.readouterr().out


def test_an_op_that_there_is_none_of() -> None:
    with pytest.raises(SystemExit) as ended:
        building.main(["fused_adam"])
    assert ended.value.code == 2
