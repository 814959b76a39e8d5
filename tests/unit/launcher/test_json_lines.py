from __future__ import annotations

from tunekit.launcher.json_lines import JsonLines, read_lines, read_record


def test_only_whole_lines_are_read_and_each_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = JsonLines(path)
    assert lines.new() == []
    path.write_text('{"step": 1}\n{"step": 2')
    assert lines.new() == [{"step": 1}]
    assert lines.new() == []
    with path.open("a") as file:
        file.write('}\n{"step": 3}\n')
    assert lines.new() == [{"step": 2}, {"step": 3}]


def test_broken_lines_are_skipped(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\nnot json\n[1]\n\n{"b": "ü"}\n')
    assert read_lines(path) == [{"a": 1}, {"b": "ü"}]


def test_lines_whose_numbers_are_none_are_as_good_as_broken(tmp_path):
    path = tmp_path / "metrics.jsonl"
    good = '{"step": 1, "loss": 2.5, "time": 3}\n{"event": "phase", "phase": "train", "time": 1.5}\n{"loss": NaN}\n'
    bad = '{"step": "1", "loss": 2.5}\n{"loss": null}\n{"time": "now"}\n{"step": 1.5}\n{"loss": true}\n'
    path.write_bytes(good.encode() + bad.encode() + b"\x00\xff\xfe\n" + b"[" * 100_000 + b"\n")
    assert [set(record) for record in read_lines(path)] == [
        {"step", "loss", "time"},
        {"event", "phase", "time"},
        {"loss"},
    ]


def test_a_record_is_whole_or_none(tmp_path):
    path = tmp_path / "success.json"
    assert read_record(path) is None
    path.write_text('{"steps": 3')
    assert read_record(path) is None
    path.write_text('{"steps": 3}')
    assert read_record(path) == {"steps": 3}
    path.write_text("[]")
    assert read_record(path) is None
