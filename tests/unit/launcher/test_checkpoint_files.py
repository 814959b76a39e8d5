from __future__ import annotations

import json
import struct
import zipfile

import pytest

from tests.runs import write_safetensors, write_zip
from tunekit.launcher.checkpoint_files import file_fault, read_header, safetensors_is_whole, size_fault


def test_whole_files_have_no_fault(tmp_path):
    write_zip(tmp_path / "a.pt")
    write_safetensors(tmp_path / "b.safetensors")
    (tmp_path / "c.json").write_text("{")
    assert [file_fault(tmp_path / name) for name in ("a.pt", "b.safetensors", "c.json")] == [None, None, None]


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "b.safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 40])
def test_a_file_that_is_cut_off(tmp_path, name, kept):
    (write_safetensors if name.endswith("tensors") else write_zip)(tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:kept])
    assert file_fault(tmp_path / name) == "is cut off"


def test_empty_tensors_and_none(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", shape=(3, 0))
    assert (
        file_fault(tmp_path / "a.safetensors") == "holds empty tensors, first lora_A: ZeRO-3's placeholders were saved"
    )
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert file_fault(tmp_path / "b.safetensors") == "holds no tensor"


@pytest.mark.parametrize(
    "content",
    [b"", b"1234", b"\xff" * 20, (4).to_bytes(8, "little") + b"oops", (12).to_bytes(8, "little") + b'{"a": [1, 2]}'],
)
def test_a_header_that_is_no_header(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert not safetensors_is_whole(path)


def test_a_header_tells_the_tensors(tmp_path):
    write_safetensors(tmp_path / "a.safetensors")
    assert read_header(tmp_path / "a.safetensors")["lora_A"]["shape"] == [4]


def test_sizes(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert size_fault(tmp_path, {"a": 3}) is None
    assert size_fault(tmp_path, {"a": 4}) == "a has 3 bytes, 4 were written"
    assert size_fault(tmp_path, {"b": 4}) == "b is missing"


def test_a_table_of_contents_with_a_name_that_is_no_text_is_cut_off(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("ä.pkl", b"x")
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(content.replace("ä".encode(), b"\xff\xff"))
    assert file_fault(tmp_path / "a.pt") == "is cut off"
