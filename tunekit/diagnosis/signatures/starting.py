"""Launchers, devices, ports, and what ranks say of each other."""

from __future__ import annotations

import signal

from tunekit.diagnosis.signature import Signature

PORT_TAKEN = Signature(
    name="port taken",
    pattern=r"EADDRINUSE|[Aa]ddress already in use|errno: 98|server socket has failed to bind",
    needles=("EADDRINUSE", "ddress already in use", "errno: 98", "server socket has failed to bind"),
    cause="the port of the rendezvous is taken: another run, or what is left of one",
    cure="the port was taken between the check and the start: start again; tunekit chooses a free one, plain deepspeed "
    "takes --master_port=29501",
    source="DeepSpeed#3878, DeepSpeed#3916, accelerate#351",
)
NO_SLOT = Signature(
    name="no such device",
    pattern=r"No slot '(\d+)' specified on host",
    cause="card {0} is asked for and is not visible to the launcher",
    cure="name cards that `nvidia-smi -L` shows, counted from 0; unset CUDA_VISIBLE_DEVICES where --include is used",
    source="DeepSpeed#5818, DeepSpeed#1331",
)
UUID = Signature(
    name="devices by UUID",
    pattern=r"invalid literal for int\(\) with base 10: '(GPU|MIG)-",
    cause="CUDA_VISIBLE_DEVICES names {0} UUIDs; deepspeed's launcher reads numbers only",
    cure="export CUDA_VISIBLE_DEVICES=0,1 (`nvidia-smi -L` shows which number has which UUID)",
    source="DeepSpeed#5278, OpenRLHF#402; deepspeed/launcher/runner.py",
)
DEVICES_IGNORED = Signature(
    name="devices ignored",
    pattern=r"ignoring it because one or several of --include",
    trust="remark",
    cause="CUDA_VISIBLE_DEVICES was ignored, because --include or --num_gpus was given: it ran on other cards",
    cure="use only one of them: `--include localhost:0,1` with the variable unset",
    source="accelerate#663, DeepSpeed#662, DeepSpeed#3069",
)
NO_GPU = Signature(
    name="no GPU",
    pattern=r"Unable to proceed, no GPU resources available",
    cause="the launcher sees no GPU: the driver is missing, or the container has none",
    cure="`nvidia-smi` must work in the same shell (docker run --gpus all); for a trial "
    "without one: DS_ACCELERATOR=cpu",
    source="DeepSpeed#535",
)
ON_CPU = Signature(
    name="on the CPU",
    pattern=r"Setting accelerator to CPU|Setting ds_accelerator to cpu",
    trust="remark",
    cause="DeepSpeed found no GPU and took the CPU",
    cure="`python -c 'import torch; print(torch.cuda.is_available())'` must say True where there are cards",
    source="deepspeed/accelerator/real_accelerator.py",
)
FORKED = Signature(
    name="forked after CUDA",
    pattern=r"Cannot re-initialize CUDA in forked subprocess|CUDA has been initialized before",
    cause="a process was forked after CUDA was used in it: notebooks do that",
    cure="start the job as a process of its own: `tunekit launch`, or `deepspeed` in a shell; restart the kernel first",
    source="accelerate#940, accelerate#1751, accelerate#182",
)
NO_RENDEZVOUS = Signature(
    name="no launcher",
    pattern=r"KeyError: 'MASTER_ADDR'|requires the LOCAL_RANK environment variable|MASTER_ADDR expected, but not set",
    cause="the script was started without a launcher, so the ranks cannot find each other",
    cure="start it with `deepspeed`, `accelerate launch` or `torchrun`",
    source="DeepSpeed#748, transformers#10130",
)
LOCAL_RANK_ARGUMENT = Signature(
    name="--local_rank",
    pattern=r"unrecognized arguments: --local[_-]rank",
    cause="the launcher adds --local_rank=K to the script's arguments, and the script does not know it",
    cure="deepspeed --no_local_rank, or accept the argument and ignore it",
    source="deepspeed/launcher/launch.py",
)
HOSTFILE = Signature(
    name="left-over hostfile",
    pattern=r"Using hostfile at (\S+) but host=\S+ was not reachable via ssh|launcher '(\w+)' not installed",
    cause="a hostfile that was left over makes deepspeed start on several machines by ssh",
    cure="remove /job/hostfile, or deepspeed -H /dev/null",
    source="deepspeed/launcher/runner.py",
)
RTX_4000 = Signature(
    name="RTX 4000 without P2P",
    pattern=r"doesn't support faster communication broadband",
    cause="accelerate refuses RTX 40 cards on this driver unless P2P and IB are switched off",
    cure="export NCCL_P2P_DISABLE=1 NCCL_IB_DISABLE=1 (tunekit sets both), or driver 550.40.07 or newer",
    source="Qwen-VL#447, fluxgym#283, accelerate#2328",
)
LAUNCHER_KILLS = Signature(
    name="ranks ended by the launcher",
    pattern=r"Killing subprocess (\d+)",
    trust="marker",
    cause="deepspeed's launcher ends the other ranks after the first has failed",
    cure="the cause stands in the log of the rank that ended first",
    source="deepspeed/launcher/launch.py",
)
TIME_LIMIT = Signature(
    name="Slurm's time limit",
    pattern=r"CANCELLED AT \S+ DUE TO TIME LIMIT",
    trust="exit",
    cause="the time that Slurm gave the job was over, so it was ended",
    cure="ask for more (`sbatch --time=24:00:00`), or go on from the last checkpoint: `--signal=TERM@300` lets a job "
    "save before its time is over",
    source="slurm: src/slurmd/slurmstepd",
)
HUNG_UP = Signature(
    name="hung up",
    pattern=r"SignalException: Process \d+ got signal: 1$|Received 1 death signal|exits with return code = -1\b"
    r"|exitcode\s*: -1\b|failed \(exitcode: -1\)|died with <Signals\.SIGHUP",
    trust="exit",
    signal=signal.SIGHUP,
    cause="the terminal or the ssh connection was closed: signal 1 (SIGHUP) ended the job",
    cure="start it in tmux, by `nohup COMMAND > train.log 2>&1 &`, or as a batch job; then go on from the last "
    "checkpoint",
    source="torch/distributed/elastic/multiprocessing/api.py",
)
INTERRUPTED = Signature(
    name="interrupted",
    pattern=r"^KeyboardInterrupt\b|SignalException: Process \d+ got signal: 2$|Received 2 death signal",
    cause="somebody pressed Ctrl-C (signal 2, SIGINT)",
    cure="nothing is broken: go on from the last checkpoint, or start again",
    source="torch/distributed/elastic/multiprocessing/api.py; Python's signal",
)
TERMINATED = Signature(
    name="terminated",
    pattern=r"exits with return code = -15\b|exitcode\s*: -15\b|failed \(exitcode: -15\)|died with <Signals\.SIGTERM"
    r"|signal 15 \(SIGTERM\)|SignalException: Process \d+ got signal: 15"
    r"|\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT",
    trust="collective",
    deeper=("Slurm's time limit",),
    signal=signal.SIGTERM,
    cause="somebody ended a process by signal 15 (SIGTERM): a batch system, a spot machine that goes, or a launcher",
    cure="go on from the last checkpoint; output.save_steps says how much is lost at most",
    source="exit codes of signals",
)
EXIT_CODE = Signature(
    name="exit code",
    pattern=r"exits with return code = (?!0\b)(-?\d+)|failed \(exitcode: (?!0\b)(-?\d+)\)"
    r"|returned non-zero exit status (\d+)",
    trust="marker",
    cause="a rank ended with an error",
    cure="the first traceback in the rank's own log is the cause; deepspeed "
    "--enable_each_rank_log DIR keeps one per rank",
    source="deepspeed/launcher/launch.py",
)
WATCHDOG = Signature(
    name="collective timed out",
    pattern=r"Watchdog caught collective operation timeout.{0,999}OpType=(\w+).{0,999}Timeout\(ms\)=(\d+)000\b"
    r"|Watchdog caught collective operation timeout",
    trust="collective",
    cause="a collective ({0}) did not finish within {1} s: one rank was missing",
    cure="look for an earlier error in the other rank's log; if there is none, prepare the "
    "data before the ranks start and set DEEPSPEED_TIMEOUT=120 (minutes)",
    source="transformers#32036, LLaMA-Factory#2902, TRL#1405",
)
NCCL_ERROR = Signature(
    name="NCCL",
    pattern=r"NCCL (?:WARN|error)|unhandled (?:system|cuda) error",
    trust="collective",
    cause="NCCL could not do a collective",
    cure="a collective did not finish: look for an earlier error in the other rank's log; if there is none, "
    "NCCL_DEBUG=INFO NCCL_P2P_DISABLE=1, and /dev/shm of 8 GiB or more",
    source="NVIDIA/nccl#631, NVIDIA/nccl#257",
)
PEER_LOST = Signature(
    name="peer lost",
    pattern=r"closed by peer|reset by peer|[Bb]roken [Pp]ipe|[Ss]ocket [Tt]imeout|recvValue failed"
    r"|[Cc]onnection was likely closed"
    r"|remote process exited|remote process exiting|ncclRemoteError|NCCL communicator was aborted"
    r"|Watchdog caught collective operation timeout",
    needles=(
        "by peer",
        "roken ",
        "ocket ",
        "recvValue failed",
        "was likely closed",
        "remote process exit",
        "ncclRemoteError",
        "NCCL communicator was aborted",
        "Watchdog caught collective",
    ),
    trust="collective",
    cause="a rank lost the other one, which had ended before",
    cure="the cause stands in the other rank's log, or in the kernel's: `dmesg` tells of a process that was killed",
    source="what gloo, NCCL and torch's store say when another rank has gone",
)
SIGNATURES = (
    PORT_TAKEN,
    NO_SLOT,
    UUID,
    DEVICES_IGNORED,
    NO_GPU,
    ON_CPU,
    FORKED,
    NO_RENDEZVOUS,
    LOCAL_RANK_ARGUMENT,
    HOSTFILE,
    RTX_4000,
    LAUNCHER_KILLS,
    TIME_LIMIT,
    HUNG_UP,
    INTERRUPTED,
    TERMINATED,
    WATCHDOG,
    NCCL_ERROR,
    PEER_LOST,
    EXIT_CODE,
)
