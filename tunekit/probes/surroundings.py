"""Where the command runs: container, WSL, notebook, connection; what the kernel says of IOMMU and of the cards."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tunekit.doctor.readings import Surroundings

XID = "NVRM: Xid"
_RECORD_BYTES = 8192
"""The longest record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg)."""


def read_surroundings(environ: Mapping[str, str], *, root: Path = Path("/")) -> Surroundings:
    """Everything the doctor asks of the surroundings; `root` stands for / in tests."""
    home = Path(environ.get("HOME") or "~").expanduser()
    own = next((path for path in (Path(".deepspeed_env"), home / ".deepspeed_env") if path.is_file()), None)
    return Surroundings(
        container=container(environ, root),
        wsl="microsoft" in _text(root / "proc" / "version").lower(),
        notebook="JPY_PARENT_PID" in environ,
        ssh="SSH_CONNECTION" in environ,
        multiplexer="TMUX" in environ or "STY" in environ,
        hostfile=(root / "job" / "hostfile").is_file(),
        deepspeed_env="" if own is None else str(own),
        kernel_command_line=_text(root / "proc" / "cmdline"),
        iommu_groups=len(list((root / "sys" / "kernel" / "iommu_groups").glob("*"))),
        xids=read_xids(root / "dev" / "kmsg"),
    )


def container(environ: Mapping[str, str], root: Path = Path("/")) -> str:
    """What kind of container this is; empty outside."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    for kind, mark in (("docker", ".dockerenv"), ("podman", "run/.containerenv")):
        if (root / mark).exists():
            return kind
    named = re.search(r"docker|kubepods|containerd|lxc", _text(root / "proc" / "1" / "cgroup"))
    return named[0] if named else environ.get("container", "")


def read_xids(log: Path) -> tuple[str, ...] | None:
    """Lines about errors of cards in the kernel's log since the start; None where it may not be read."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        records = _records(descriptor)
    finally:
        os.close(descriptor)
    return tuple(text.partition(";")[2] or text for text in records if XID in text)


def _records(descriptor: int) -> list[str]:
    """All records there are now; /dev/kmsg gives one with each read, a file all of them."""
    records: list[str] = []
    while True:
        try:
            text = os.read(descriptor, _RECORD_BYTES)
        except BrokenPipeError:  # overwritten meanwhile: the next read goes on behind it
            continue
        except OSError:
            return records
        if not text:
            return records
        records += text.decode(errors="replace").splitlines()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
