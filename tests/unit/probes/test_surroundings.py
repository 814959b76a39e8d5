from __future__ import annotations

import os

import pytest

from tunekit.probes.surroundings import container, read_surroundings, read_xids

XID = "NVRM: Xid (PCI:0000:01:00): 79, pid=7, GPU has fallen off the bus."


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_this_machine_can_be_read():
    here = read_surroundings(dict(os.environ))
    assert isinstance(here.container, str)
    assert here.kernel_command_line


def test_everything_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "proc" / "version", "Linux version 5.15.0-microsoft-standard-WSL2\n")
    write(tmp_path / "proc" / "cmdline", "quiet iommu=pt\n")
    write(tmp_path / "job" / "hostfile")
    write(tmp_path / "home" / ".deepspeed_env", "NCCL_DEBUG=INFO\n")
    for group in ("0", "1"):
        (tmp_path / "sys" / "kernel" / "iommu_groups" / group).mkdir(parents=True)
    environ = {"HOME": str(tmp_path / "home"), "JPY_PARENT_PID": "7", "SSH_CONNECTION": "x", "TMUX": "x"}
    here = read_surroundings(environ, root=tmp_path)
    assert (here.wsl, here.notebook, here.ssh, here.multiplexer, here.hostfile) == (True,) * 5
    assert (here.kernel_command_line, here.iommu_groups) == ("quiet iommu=pt", 2)
    assert here.deepspeed_env == str(tmp_path / "home" / ".deepspeed_env")
    assert here.xids is None


def test_nothing_at_all(tmp_path):
    here = read_surroundings({"HOME": str(tmp_path)}, root=tmp_path)
    assert (here.wsl, here.notebook, here.ssh, here.multiplexer, here.hostfile) == (False,) * 5
    assert (here.container, here.deepspeed_env, here.iommu_groups) == ("", "", 0)


@pytest.mark.parametrize(
    ("file", "text", "kind"),
    [
        (".dockerenv", "", "docker"),
        ("run/.containerenv", "", "podman"),
        ("proc/1/cgroup", "0::/kubepods/pod7\n", "kubepods"),
        ("proc/1/cgroup", "0::/init.scope\n", ""),
    ],
)
def test_kinds_of_containers(tmp_path, file, text, kind):
    write(tmp_path / file, text)
    assert container({}, tmp_path) == kind


def test_containers_that_the_environment_names(tmp_path):
    assert container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path) == "kubernetes"
    assert container({"container": "lxc"}, tmp_path) == "lxc"


def test_errors_of_cards_in_the_kernels_log(tmp_path):
    log = tmp_path / "kmsg"
    log.write_text(f"6,1,1,-;usb 1-1: new device\n3,2,2,-;{XID}\n")
    assert read_xids(log) == (XID,)
    log.write_text("")
    assert read_xids(log) == ()
    assert read_xids(tmp_path / "none") is None
