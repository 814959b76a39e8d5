from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs import write_checkpoint, write_safetensors, write_zip
from tunekit.errors import MissingError
from tunekit.launcher import checkpoint_bytes
from tunekit.launcher.checkpoint_bytes import Proofs, bytes_fault, checksums
from tunekit.launcher.checkpoint_files import file_fault
from tunekit.launcher.checkpoints import CHECKSUMS, SEAL, find_fault
from tunekit.units import MIB


def flip(path: Path, place: int = -1) -> None:
    """One bit of one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A checkpoint as the worker seals it."""
    folder = write_checkpoint(tmp_path, 4)
    seal = json.loads((folder / SEAL).read_text())
    (folder / SEAL).write_text(json.dumps({**seal, CHECKSUMS: checksums(folder)}))
    return folder


def test_a_byte_of_torchs_files_that_changed_is_found_by_its_checksum(sealed: Path) -> None:
    path = next(sealed.glob("global_step4/*model_states.pt"))
    assert bytes_fault(sealed) is None
    path.write_bytes(path.read_bytes().replace(b"xxx", b"xyx", 1))
    assert file_fault(path) is None, "its size and its table of contents are right"
    assert bytes_fault(sealed) == f"global_step4/{path.name} is damaged: its bytes changed after the save"


def test_a_byte_of_an_adapter_that_changed_is_found_by_the_seal(sealed: Path) -> None:
    assert list(checksums(sealed)) == ["adapter_model.safetensors"]
    flip(sealed / "adapter_model.safetensors")
    assert find_fault(sealed) is None, "its size and its header are right"
    assert bytes_fault(sealed) == "adapter_model.safetensors is damaged: its bytes changed after the save"


def test_a_seal_without_checksums_is_taken_as_it_is(tmp_path: Path) -> None:
    assert bytes_fault(write_checkpoint(tmp_path, 4)) is None


def test_a_file_that_cannot_be_read_is_damaged_too(sealed: Path) -> None:
    (sealed / "adapter_model.safetensors").unlink()
    assert "adapter_model.safetensors is damaged" in str(bytes_fault(sealed))


def test_a_file_that_is_out_of_reach_is_not_called_damaged(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, checksum: int | None) -> Iterator[int]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoint_bytes, "_pieces", refuse)
    with pytest.raises(MissingError, match=r"cannot be read \(Permission denied\)\. Make it readable"):
        bytes_fault(sealed)


def test_it_is_told_how_far_the_reading_is(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_bytes, "_TURN_SECONDS", 0)
    said: list[str] = []
    write_safetensors(sealed / "model.safetensors", shape=(8 * MIB,))
    seal = json.loads((sealed / SEAL).read_text())
    (sealed / SEAL).write_text(json.dumps({**seal, CHECKSUMS: checksums(sealed)}))
    assert bytes_fault(sealed, report=said.append) is None
    assert all(text.startswith("verifying checkpoint-4: ") for text in said)
    assert any(text.endswith(" of 32 MiB read") for text in said)


def test_a_checkpoint_is_read_once_while_it_stays_the_same(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def counted(folder: Path, *, report: object) -> str | None:
        reads.append(folder)
        return bytes_fault(folder)

    monkeypatch.setattr(checkpoint_bytes, "bytes_fault", counted)
    proofs = Proofs()
    for _ in range(3):
        assert proofs.fault(sealed, report=print) is None
    assert len(reads) == 1
    write_zip(sealed / "rng_state_2.pth")
    flip(sealed / "adapter_model.safetensors")
    assert "is damaged" in str(proofs.fault(sealed, report=print))
    assert len(reads) == 2
    assert Proofs().known == {}, "nothing is kept beyond a command"


def test_whatever_bit_of_a_zip_file_changed_it_is_damaged_or_whole_and_nothing_is_raised(sealed: Path) -> None:
    """zipfile says of some that they are encrypted, of a later version, or named in no known letters."""
    path = next(sealed.glob("global_step4/*model_states.pt"))
    content = path.read_bytes()
    raised = 0
    for place in range(len(content)):
        for bit in (1, 64):
            changed = bytearray(content)
            changed[place] ^= bit
            path.write_bytes(changed)
            raised += bytes_fault(sealed) is not None
            file_fault(path)
    assert raised > len(content)


@pytest.mark.parametrize("told", [[1], 5, {"/dev/zero": 1}, {"../other.safetensors": 1}, "words"])
def test_a_seal_that_speaks_of_other_places_or_in_other_words_makes_nothing_be_read(sealed: Path, told: object) -> None:
    seal = json.loads((sealed / SEAL).read_text())
    (sealed / SEAL).write_text(json.dumps({**seal, CHECKSUMS: told}))
    assert Proofs().fault(sealed, report=print) is None


@pytest.mark.parametrize("name", ["a\0b.safetensors", "a" * 5000 + ".safetensors"])
def test_a_name_that_no_file_can_have_is_damaged(sealed: Path, name: str) -> None:
    seal = json.loads((sealed / SEAL).read_text())
    (sealed / SEAL).write_text(json.dumps({**seal, CHECKSUMS: {name: 1}}))
    assert "is damaged" in str(Proofs().fault(sealed, report=print))
