"""What the machine lacks: disk, memory, shared memory, a compiler, caches that can be written."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGKILL

import psutil

from tests.faults.fault import After, Fault
from tests.faults.scene import Command, Gate, Scene
from tests.integration import tiny
from tunekit.units import MIB

MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")
OP = "deepspeed_shm_comm"
Play = Callable[[Scene], Command]


def mounted(scene: Scene, name: str, options: str) -> Path:
    """A file system in RAM, gone when the scene closes; only root may do that."""
    folder = scene.folder / name
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    scene.closing.append(lambda: subprocess.run(["umount", "-l", folder], check=True))
    return folder


def drive(scene: Scene, size: str) -> Path:
    """The scene's run lies on a drive of this size."""
    scene.home = mounted(scene, "drive", f"size={size}")
    return scene.home


def fill(scene: Scene) -> None:
    """Leave no byte free on the scene's drive, until it is mended."""
    ballast = drive_of(scene) / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in (MIB, 4096):
            with_room(lambda piece=piece: file.write(b"\1" * piece))  # type: ignore[misc]
    scene.undo.append(ballast.unlink)


def with_room(write: Callable[[], object]) -> None:
    """Write until nothing more can be written."""
    try:
        while write():
            pass
    except OSError:
        return


def drive_of(scene: Scene) -> Path:
    """Where the run lies."""
    assert scene.home is not None
    return scene.home


def full_disk(phase: str) -> Play:
    """The drive is filled while rank 0 stands at the gate."""

    def play(scene: Scene) -> Command:
        drive(scene, "1500m")  # above watch.disk_free_gib
        return at_gate(scene, scene.gate_at(phase), lambda: fill(scene))

    return play


def at_gate(scene: Scene, gate: Gate, action: Callable[[], object], **how: object) -> Command:
    """Launch, do it while the rank waits, and let it go on."""
    command = scene.launch(gate=gate, **how)  # type: ignore[arg-type]
    scene.arrive(gate, command)
    action()
    gate.let_pass(gate.first)
    return command


def small_disk(scene: Scene) -> Command:
    """The drive is too small from the beginning."""
    drive(scene, "64k")
    return scene.launch()


def read_only_drive(scene: Scene) -> Command:
    """The output lies on a drive that cannot be written."""
    scene.home = mounted(scene, "drive", "ro")
    return scene.launch()


def limited(kind: int, amount: int, phase: str, target: str) -> Play:
    """A resource limit of one rank, set while it runs; `amount` is added to what it has of address space."""

    def play(scene: Scene) -> Command:
        def limit() -> None:
            for process in scene.processes(target):  # type: ignore[arg-type]
                has = process.memory_info().vms if kind == resource.RLIMIT_AS else 0
                process.rlimit(kind, (has + amount, has + amount))

        return at_gate(scene, scene.gate_at(phase), limit)

    return play


def memory_group(scene: Scene) -> Path:
    """A group of the kernel, gone when the scene closes."""
    group = MEMORY_GROUPS / f"tunekit-faults-{os.getpid()}"
    group.mkdir()
    scene.closing.append(lambda: emptied(group))
    return group


def emptied(group: Path) -> None:
    """Remove the group when its last process has gone."""
    for _ in range(50):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return


def inside(group: Path) -> tuple[str, ...]:
    """Words in front of a command that put it into the group."""
    return ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")


def little_memory(scene: Scene) -> Command:
    """The group has less than the plan needs."""
    group = memory_group(scene)
    (group / "memory.limit_in_bytes").write_text(str(256 * MIB))
    return scene.launch(before=inside(group))


def memory_runs_out(scene: Scene) -> Command:
    """The group's limit falls to what is used now, while the ranks load."""
    group = memory_group(scene)
    limit = group / "memory.limit_in_bytes"

    def lower() -> None:
        limit.write_text(str(int((group / "memory.usage_in_bytes").read_text()) + MIB))

    scene.undo.append(lambda: limit.write_text("-1"))
    return at_gate(scene, scene.gate_at("load"), lower, before=inside(group))


def full_temporary(scene: Scene) -> Command:
    """No byte is free where TMPDIR points."""
    folder = mounted(scene, "tmp", "size=64k")
    with (folder / "ballast").open("wb", buffering=0) as file:
        with_room(lambda: file.write(b"\1" * 4096))
    return scene.launch(env={"TMPDIR": str(folder)})


def little_shared_memory(scene: Scene) -> Command:
    """/dev/shm holds 64 KiB, as in a container that was started with too little."""
    mount = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'
    return scene.launch(before=("unshare", "-m", "sh", "-c", mount, "sh"))


def own_ops(scene: Scene, *, stamped: bool = True) -> Path:
    """A copy of the compiled ops; without the stamps they count as not built."""
    folder = scene.folder / "ops"
    built = Path(tiny.environment()["TORCH_EXTENSIONS_DIR"])
    folder.mkdir()
    shutil.copytree(built / OP, folder / OP)
    if stamped:
        shutil.copy2(built / "tunekit_ops.json", folder)
    return folder


def with_ops(scene: Scene, folder: Path, **more: str) -> Command:
    """Launch with these compiled ops."""
    return scene.launch(env={"TORCH_EXTENSIONS_DIR": str(folder), **more})


def no_compiler(scene: Scene) -> Command:
    """An op must be built, and there is no compiler."""
    return with_ops(scene, scene.folder / "ops", CXX="no-such-compiler")


def broken_compiler(scene: Scene) -> Command:
    """An op must be built, and the compiler fails."""
    return with_ops(scene, scene.folder / "ops", CXX="/bin/false")


def read_only_ops(scene: Scene) -> Command:
    """An op must be built where nothing can be written."""
    return with_ops(scene, mounted(scene, "ops", "ro"))


def read_only_data(scene: Scene) -> Command:
    """Tokenised data cannot be kept."""
    return scene.launch(env={"HF_DATASETS_CACHE": str(mounted(scene, "datasets", "ro"))})


def stale_lock(*, stamped: bool) -> Play:
    """A builder was killed: torch's lock file lies in the op's folder."""

    def play(scene: Scene) -> Command:
        folder = own_ops(scene, stamped=stamped)
        lock = folder / OP / "lock"
        lock.touch()
        os.utime(lock, (time.time() - 600, time.time() - 600))
        return with_ops(scene, folder)

    return play


def torn_op(scene: Scene) -> Command:
    """The op's library was cut off."""
    folder = own_ops(scene)
    with (folder / OP / f"{OP}.so").open("r+b") as file:
        file.truncate(1000)
    return with_ops(scene, folder)


def preparing(number: int) -> Play:
    """A signal to tunekit while an op is being prepared."""

    def play(scene: Scene) -> Command:
        command = with_ops(scene, own_ops(scene, stamped=False))
        scene.until(
            lambda: scene.run.prepare_log.exists() and scene.run.process.exists(), command, "nothing to prepare"
        )
        psutil.Process(command.popen.pid).send_signal(number)
        command.wait()
        scene.until_gone()
        return command

    return play


def fault(name: str, play: Play, *, codes: tuple[int, ...], says: str, after: After) -> Fault:
    """A row of this group."""
    return Fault(name=name, group="machine", play=play, codes=codes, says=says, after=after)


FULL = r"left on the drive|No space left on device.*the disk is full|drive of .* free"
NO_MEMORY = r"host ran out of memory|out-of-memory|SIGKILL|[Mm]emory"

FAULTS: tuple[Fault, ...] = (
    fault("a drive that is too small", small_disk, codes=(4, 3), says="the drive of", after="was refused"),
    fault("the disk is full while loading", full_disk("load"), codes=(1, 130), says=FULL, after="starts anew"),
    fault("the disk is full in a step", full_disk("step"), codes=(1, 130), says=FULL, after="resumes"),
    fault("the disk is full in a save", full_disk("save"), codes=(1, 130), says=FULL, after="resumes"),
    fault(
        "the disk is full when the result is written", full_disk("result"), codes=(1, 130), says=FULL, after="resumes"
    ),
    fault(
        "an output folder on a read-only drive",
        read_only_drive,
        codes=(2, 4),
        says="cannot be written",
        after="was refused",
    ),
    fault(
        "a limit on the size of files, in a save",
        limited(resource.RLIMIT_FSIZE, 4096, "save", "rank 0"),
        codes=(1,),
        says="File too large|Errno 27|file write failed",
        after="resumes",
    ),
    fault(
        "no more open files, in a step",
        limited(resource.RLIMIT_NOFILE, 8, "step", "rank 0"),
        codes=(1,),
        says="Too many open files",
        after="resumes",
    ),
    fault(
        "a limit on the address space (ulimit -v), while loading",
        limited(resource.RLIMIT_AS, 0, "load", "rank 0"),
        codes=(1,),
        says=NO_MEMORY,
        after="starts anew",
    ),
    fault("a memory group smaller than the plan", little_memory, codes=(3, 4), says="RAM|memory", after="was refused"),
    fault(
        "the memory group's limit is reached while loading",
        memory_runs_out,
        codes=(1, 130),
        says=NO_MEMORY,
        after="starts anew",
    ),
    fault("a full /tmp", full_temporary, codes=(0,), says="Done", after="is done"),
    fault("a /dev/shm of 64 KiB", little_shared_memory, codes=(1, 4), says="/dev/shm", after="starts anew"),
    fault("no compiler for an op", no_compiler, codes=(4,), says="C\\+\\+ compiler", after="was refused"),
    fault(
        "a compiler that fails",
        broken_compiler,
        codes=(1, 4),
        says="cannot compile|cannot be built|preparing the run failed",
        after="was refused",
    ),
    fault(
        "an ops cache that is read-only", read_only_ops, codes=(4,), says="TORCH_EXTENSIONS_DIR", after="was refused"
    ),
    fault("a data cache that is read-only", read_only_data, codes=(4,), says="HF_DATASETS_CACHE", after="was refused"),
    fault(
        "a stale lock of an op that is not built", stale_lock(stamped=False), codes=(0,), says="Done", after="is done"
    ),
    fault("a stale lock of an op that is built", stale_lock(stamped=True), codes=(0,), says="Done", after="is done"),
    fault("an op's library cut off", torn_op, codes=(0, 1, 4), says=f"Done|{OP}", after="starts anew"),
    fault("SIGINT to tunekit while an op is prepared", preparing(SIGINT), codes=(130,), says="", after="starts anew"),
    fault("SIGKILL to tunekit while an op is prepared", preparing(SIGKILL), codes=(-9,), says="", after="starts anew"),
)
