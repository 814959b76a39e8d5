"""Memory: of the card, of the host, of /dev/shm."""

from __future__ import annotations

import signal

from tunekit.diagnosis.signature import Signature

KERNEL_KILL = Signature(
    name="killed by the kernel",
    pattern=r"Out of memory: Killed process (\d+) \((\S+)\)|Memory cgroup out of memory: Killed process (\d+)",
    trust="kernel",
    fault="host memory",
    cause="the host, or the control group of the container, ran out of memory: the kernel killed a process",
    cure="offload less to RAM (in DeepSpeed's JSON: no offload_param, or offload_optimizer with a ratio below 1), a "
    "smaller micro-batch with more accumulation, fewer loader workers, more RAM or swap; a higher limit for a "
    "container (docker run --memory)",
    source="DeepSpeed#4239, DeepSpeed#3160, dolly#166",
)
CGROUP_KILL = Signature(
    name="killed by the control group",
    pattern=r"^oom_kill ([1-9]\d*)",
    trust="kernel",
    fault="host memory",
    cause="the control group's memory limit was reached: {0} process(es) were killed (memory.events)",
    cure="a higher limit for the container (docker run --memory), or less in RAM: offload less, a smaller micro-batch "
    "with more accumulation, fewer loader workers",
    source="dolly#166",
)
SLURM_KILL = Signature(
    name="Slurm's memory limit",
    pattern=r"Detected (\d+) oom[_-]kill event|task \d+: Out Of Memory|\bOUT_OF_MEMORY\b",
    needles=("oom", "Out Of Memory", "OUT_OF_MEMORY"),
    trust="kernel",
    fault="host memory",
    cause="the job used more host memory than Slurm gave it, and a process was killed",
    cure="more (`sbatch --mem=128G`; `sacct -j JOB --format=MaxRSS,ReqMem` shows what it took), or less in RAM: "
    "offload less, a smaller micro-batch with more accumulation, fewer loader workers",
    source="slurm: src/slurmd/slurmstepd",
)
SIGKILL = Signature(
    name="killed",
    pattern=r"exits with return code = -9\b|exitcode\s*: -9\b|failed \(exitcode: -9\)|died with <Signals\.SIGKILL"
    r"|Signal 9 \(SIGKILL\) received by PID|signal 9 \(SIGKILL\)"
    r"|: line \d+: +\d+ Killed\b|^(?:zsh: k|K)illed(?: {2,}\S.*)?$",
    needles=("exits with return code = -9", "exitcode", "SIGKILL", "illed"),
    trust="exit",
    signal=signal.SIGKILL,
    cause="a process was ended from outside by signal 9 (SIGKILL), most often by the kernel for want of host memory",
    cure="look for `Out of memory: Killed process` in `dmesg`, and at oom_kill in the container's memory.events; if it "
    "is there the job needs less host memory, else somebody ended it",
    source="DeepSpeed#4239, DeepSpeed#2852, LLaMA-Factory#4629",
)
BUS_ERROR = Signature(
    name="bus error",
    pattern=r"exits with return code = -7\b|exitcode\s*: -7\b|failed \(exitcode: -7\)|died with <Signals\.SIGBUS"
    r"|signal 7 \(SIGBUS\)",
    trust="exit",
    signal=signal.SIGBUS,
    cause="a process was ended by signal 7 (SIGBUS): /dev/shm is full or too small",
    cure="/dev/shm is too small: in a container add --shm-size=16g (or --ipc=host); data.num_workers=0 needs less",
    source="PyTorch#26009, LMFlow#430",
)
SHARED_MEMORY = Signature(
    name="shared memory",
    # One that is `Killed` (signal 9) the kernel has ended for want of RAM.
    pattern=r"DataLoader worker \(pid\(?s?\)? .{0,999}killed by signal: (?!Killed)(\w+)|insufficient shared memory"
    r"|Error while creating shared memory segment|shared memory segment",
    cause="the shared memory of /dev/shm is used up",
    cure="/dev/shm is too small: in a container add --shm-size=16g (or --ipc=host); data.num_workers=0 needs less",
    source="PyTorch#26009, simplerecon#3, LMFlow#430",
)
KBIT_PREPARATION = Signature(
    name="kbit preparation out of memory",
    pattern=r"prepare_model_for_kbit_training[\s\S]{1,4000}?OutOfMemoryError",
    fault="GPU memory",
    cause="the card ran out of memory while prepare_model_for_kbit_training made fp32 copies of what is not 4-bit",
    cure="leave that call out under DeepSpeed in bf16, and call model.enable_input_require_grads() instead",
    source="peft/utils/other.py",
)
PINNING = Signature(
    name="pinned memory",
    pattern=r"pin_memory[\s\S]{1,400}?CUDA error: (?:invalid argument|out of memory)",
    cause="the driver would not page-lock so much host memory: WSL, `ulimit -l`, or one block that is too large",
    cure="zero.pin_memory=false, or a smaller zero.sub_group_size",
    source="DeepSpeed#7150, DeepSpeed#3481, DeepSpeed#2977",
)
SHARED_CARD = Signature(
    name="card in use by another process",
    pattern=r"CUDA out of memory\.[^\n]*?\bProcess (\d+) has ((?:[2-9]|\d{2,3})\.\d+ GiB) memory in use"
    # In a container torch may call this very process by its number too: it takes two to be another one.
    r"(?=[^\n]*(?:Process \d+|this process) has )",
    fault="GPU memory",
    cause="the card ran out of memory, and this job is not alone on it: process {0} has {1} in use",
    cure="`nvidia-smi` shows whose process {0} is: if an earlier run left it, end it (`kill {0}`); else "
    "another card (CUDA_VISIBLE_DEVICES)",
    source="torch: c10/cuda/CUDACachingAllocator.cpp",
)
GPU_MEMORY = Signature(
    name="GPU out of memory",
    pattern=r"(?:torch\.(?:cuda\.)?)?OutOfMemoryError|CUDA out of memory\. Tried to allocate ([\d.]+ [KMG]iB)"
    r"|CUDA out of memory",
    needles=("OutOfMemoryError", "CUDA out of memory"),
    fault="GPU memory",
    cause="the card ran out of memory",
    cure="a smaller micro-batch with more accumulation, activation checkpointing, a chunked "
    "loss, shorter rows, or offload",
    source="FastChat#581, TRL#5575, LoRA#78",
)
HOST_MEMORY = Signature(
    name="host out of memory",
    pattern=r"(?<!OutOf)MemoryError|can't allocate memory|[Cc]annot allocate memory|std::bad_alloc"
    r"|DataLoader worker \(pid\(?s?\)? .{0,999}killed by signal: Killed",
    needles=("MemoryError", "allocate memory", "bad_alloc", "killed by signal: Killed"),
    fault="host memory",
    cause="the host ran out of memory",
    cure="close other programs, offload less, a smaller micro-batch, fewer data.num_workers, or more RAM",
    source="DeepSpeed#3160, DeepSpeed#2852",
)
FRAGMENTED = Signature(
    name="fragmented",
    pattern=r"\b([\d.]+ [KMG]iB) is reserved by PyTorch but unallocated",
    needles=(" is reserved by PyTorch but unallocated",),
    trust="remark",
    cause="{0} of the card were reserved and could not be used",
    cure="PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True makes one pool of it",
    source="DNABERT_2#78",
)
STATES_BEING_MADE = Signature(
    name="optimizer states being made",
    pattern=r"(Before|After) initializing optimizer states",
    trust="marker",
    cause="DeepSpeed makes the optimizer's states: 16 bytes and more per trained parameter",
    cure="with offload they lie in RAM: see what the plan says of the host",
    source="DeepSpeed#4239; runtime/zero/stage_1_and_2.py",
)
HOST_USE = Signature(
    name="host memory in use",
    pattern=r"CPU Virtual Memory:\s+used = ([\d.]+) GB, percent = ([\d.]+)%",
    trust="marker",
    cause="DeepSpeed saw {0} GB of host memory in use, {1}% of all",
    cure="beyond 95% the kernel is about to kill",
    source="deepspeed/runtime/utils.py",
)
SIGNATURES = (
    KERNEL_KILL,
    CGROUP_KILL,
    SLURM_KILL,
    SIGKILL,
    BUS_ERROR,
    SHARED_MEMORY,
    KBIT_PREPARATION,
    PINNING,
    SHARED_CARD,
    GPU_MEMORY,
    HOST_MEMORY,
    FRAGMENTED,
    STATES_BEING_MADE,
    HOST_USE,
)
