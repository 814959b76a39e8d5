from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunekit.limits import DEEPEST, TooLarge, check_tree, of_values, of_yaml_node, read_text


def test_a_file_within_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("é" * 5)
    assert read_text(path, most=10) == "é" * 5
    with pytest.raises(TooLarge, match="it has 10 bytes, and 9 are read at most"):
        read_text(path, most=9)


def test_what_may_never_end_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="a pipe or a device"):
        read_text(Path("/dev/zero"), most=10)
    os.mkfifo(tmp_path / "pipe")
    keeps_it_open = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        with pytest.raises(TooLarge, match="a pipe or a device"):
            read_text(tmp_path / "pipe", most=10)
    finally:
        os.close(keeps_it_open)


def nested(depth: int) -> Any:
    return [] if depth == 0 else [nested(depth - 1)]


def test_depth_and_number_are_counted_with_every_alias_written_out() -> None:
    check_tree(nested(DEEPEST), of_values)
    with pytest.raises(TooLarge, match="30 deep"):
        check_tree(nested(DEEPEST + 1), of_values)
    shared = [0] * 9
    check_tree([shared] * 9, of_values, most=91)
    with pytest.raises(TooLarge, match="more than 90 values"):
        check_tree([shared] * 9, of_values, most=90)
    with pytest.raises(TooLarge, match="more than 10 values"):
        check_tree({"a": "x" * 1000}, of_values, most=10)


def test_a_document_that_holds_itself_is_too_deep() -> None:
    with pytest.raises(TooLarge, match="30 deep"):
        check_tree(yaml.compose("&a {k: *a}"), of_yaml_node)
    check_tree(yaml.compose("{a: [1, {b: c}], d: e}"), of_yaml_node, most=9)
