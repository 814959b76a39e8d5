"""The same LoRA job under `tunekit launch`, a bare deepspeed script and LLaMA-Factory, taken in turn.

    python benchmarks/peers.py [--rounds 3] [--steps 10] [--llamafactory ENVIRONMENT] [--json FILE]

The job: SmolLM2-135M-Instruct, LoRA of rank 8 on all linear layers, rows packed to 256 tokens, micro-batch 1 x
accumulation 2 x two processes, ZeRO-2, bf16, activation checkpointing on. Measured from outside: seconds from the start
of the command to the first optimizer step, and tokens per second between the second and the last step. Medians and
ratios in one table.

LLaMA-Factory lives in an environment of its own, made on first use (`--llamafactory none` leaves it out).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tunekit.launcher.caller import this_caller
from tunekit.launcher.environment import extensions_dir

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "examples/data/finetuning_qa.jsonl"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TOKENS_PER_STEP = 256 * 1 * 2 * 2
RECIPE = """
model: {{path: {model}}}
method: {{kind: lora, rank: 8, alpha: 16}}
zero: {{preset: z2}}
data: {{path: {data}, packing: true}}
train:
  max_seq_length: 256
  micro_batch_size: 1
  gradient_accumulation_steps: 2
  max_steps: {steps}
  learning_rate: 1.0e-4
  activation_checkpointing: true
  precision: bf16
output: {{dir: {run}}}
tracking: []
hardware: local
"""
LLAMAFACTORY = """
model_name_or_path: {model}
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_alpha: 16
lora_target: all
dataset: bench
dataset_dir: {folder}
template: smollm2
cutoff_len: 256
packing: true
output_dir: {out}
overwrite_output_dir: true
per_device_train_batch_size: 1
gradient_accumulation_steps: 2
learning_rate: 1.0e-4
max_steps: {steps}
logging_steps: 1
save_strategy: "no"
lr_scheduler_type: cosine
bf16: true
use_cpu: true
deepspeed: {folder}/zero2.json
report_to: none
"""
DATASET_INFO = {
    "bench": {
        "file_name": str(DATA),
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }
}
ZERO_2 = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
    "bf16": {"enabled": True},
    "zero_optimization": {"stage": 2, "overlap_comm": False, "contiguous_gradients": True},
}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to run the job: a command, its environment, and the file in which its steps appear."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    steps_file: Path
    step_of: Callable[[Mapping[str, object]], int | None]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one run took."""

    arm: str
    first_step_seconds: float
    tokens_per_second: float
    total_seconds: float


def log_step(row: Mapping[str, object]) -> int | None:
    """The step of a metrics line, where it reports a training loss."""
    step = row.get("step", row.get("current_steps"))
    return int(str(step)) if step is not None and "loss" in row else None


def measure(arm: Arm, steps: int, log: Path) -> Timing:
    """Run one arm and read off when its steps appeared.

    Raises:
        SystemExit: the command failed or wrote no steps; its last lines are shown.
    """
    started = time.monotonic()
    seen: dict[int, float] = {}
    with log.open("w") as output:
        process = subprocess.Popen(arm.argv, env={**os.environ, **arm.env}, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            for step in new_steps(arm, seen):
                seen[step] = time.monotonic() - started
            time.sleep(0.05)
    for step in new_steps(arm, seen):
        seen[step] = time.monotonic() - started
    total = time.monotonic() - started
    if process.returncode != 0 or steps not in seen:
        sys.exit(f"{arm.name} failed ({process.returncode}):\n" + "\n".join(log.read_text().splitlines()[-30:]))
    rate = TOKENS_PER_STEP * (steps - 2) / (seen[steps] - seen[2])
    return Timing(arm=arm.name, first_step_seconds=seen[1], tokens_per_second=rate, total_seconds=total)


def new_steps(arm: Arm, seen: Mapping[int, float]) -> list[int]:
    """Steps that have appeared in the arm's file since the last look."""
    if not arm.steps_file.exists():
        return []
    rows = [json.loads(line) for line in arm.steps_file.read_text().splitlines() if line.endswith("}")]
    return [step for row in rows if (step := arm.step_of(row)) is not None and step not in seen]


def cpu_environment(binaries: Path) -> dict[str, str]:
    """What every arm needs on a machine without GPU: the CPU accelerator, ninja on the path, ops built once."""
    return {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "DS_ACCELERATOR": "cpu",
        "TOKENIZERS_PARALLELISM": "false",
    }


def tunekit_arm(folder: Path, steps: int) -> Arm:
    """`tunekit launch` on a recipe of the job."""
    run = folder / "run"
    recipe = folder / "bench.yaml"
    recipe.write_text(RECIPE.format(model=MODEL, data=DATA, steps=steps, run=run))
    argv = (str(Path(sys.executable).parent / "tunekit"), "launch", str(recipe))
    return Arm(name="tunekit", argv=argv, env={}, steps_file=run / "metrics.jsonl", step_of=log_step)


def bare_arm(folder: Path, steps: int, model: Path) -> Arm:
    """`bare_trl.py` under the deepspeed command, with the same libraries and built ops."""
    binaries = Path(sys.executable).parent
    file = folder / "bare.jsonl"
    script = str(Path(__file__).with_name("bare_trl.py"))
    argv = (
        str(binaries / "deepspeed"),
        "--num_gpus",
        "2",
        "--no_local_rank",
        script,
        str(model),
        str(DATA),
        str(steps),
        str(file),
    )
    env = {**cpu_environment(binaries), "TORCH_EXTENSIONS_DIR": str(extensions_dir(this_caller()))}
    return Arm(name="bare script", argv=argv, env=env, steps_file=file, step_of=log_step)


def llamafactory_arm(folder: Path, steps: int, model: Path, environment: Path) -> Arm:
    """`llamafactory-cli train` on the same job."""
    (folder / "dataset_info.json").write_text(json.dumps(DATASET_INFO))
    (folder / "zero2.json").write_text(json.dumps(ZERO_2))
    config = folder / "llamafactory.yaml"
    config.write_text(LLAMAFACTORY.format(model=model, folder=folder, out=folder / "lf", steps=steps))
    env = {
        **cpu_environment(environment / "bin"),
        "TORCH_EXTENSIONS_DIR": str(environment / "ops"),
        "OMP_NUM_THREADS": "1",
        "DISABLE_VERSION_CHECK": "1",
        "FORCE_TORCHRUN": "1",
        "NPROC_PER_NODE": "2",
    }
    argv = (str(environment / "bin/llamafactory-cli"), "train", str(config))
    return Arm(name="LLaMA-Factory", argv=argv, env=env, steps_file=folder / "lf/trainer_log.jsonl", step_of=log_step)


def make_llamafactory(environment: Path) -> None:
    """LLaMA-Factory 0.9.5 with the CPU build of torch and the newest libraries it allows, without vision and audio."""
    if (environment / "bin/llamafactory-cli").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin/pip"), "install", "-q"]
    subprocess.run([*pip, "torch==2.13.0"], check=True)
    subprocess.run([*pip, "--no-deps", "llamafactory==0.9.5"], check=True)
    subprocess.run([*pip, *llamafactory_requirements(environment), "deepspeed<=0.18.4", "ninja"], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "torchaudio.py").write_text('"""Imported by LLaMA-Factory at start; text jobs never call it."""\n')


def llamafactory_requirements(environment: Path) -> list[str]:
    """What LLaMA-Factory's own metadata asks for, less torch and its vision and audio companions."""
    metadata = next(environment.glob("lib/python*/site-packages/llamafactory-*.dist-info/METADATA")).read_text()
    wanted = [
        line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires-Dist:")
    ]
    return [item for item in wanted if "extra ==" not in item and not re.match(r"torch(vision|audio)?\b(?!data)", item)]


def run_once(make: Callable[[Path], Arm], *, steps: int) -> Timing:
    """One run of one arm in a folder of its own, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="peers-"))
    try:
        return measure(make(folder), steps, folder / "output.log")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(timings: list[Timing]) -> None:
    """The table: medians and ratios to tunekit's."""
    console = Console()
    names = list(dict.fromkeys(timing.arm for timing in timings))
    table = Table(title=f"LoRA, SmolLM2-135M, two processes on {os.cpu_count()} cores ({platform.machine()})")
    for heading in ("", "runs", "first step s", "vs bare", "tokens/s", "vs bare", "total s"):
        table.add_column(heading, justify="right")
    reference = {"first": 1.0, "rate": 1.0}
    for name in sorted(names, key=lambda name: name != "bare script"):
        rows = [timing for timing in timings if timing.arm == name]
        first = median(row.first_step_seconds for row in rows)
        rate = median(row.tokens_per_second for row in rows)
        total = median(row.total_seconds for row in rows)
        if name == "bare script":
            reference = {"first": first, "rate": rate}
        ratios = f"{first / reference['first']:.2f}", f"{rate / reference['rate']:.2f}"
        table.add_row(name, str(len(rows)), f"{first:.1f}", ratios[0], f"{rate:.0f}", ratios[1], f"{total:.1f}")
    console.print(table)


def main() -> None:
    """Read the options, warm up, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--llamafactory", default=str(Path.home() / ".cache/tunekit/bench/llamafactory-0.9.5"))
    parser.add_argument("--warm", action="store_true", help="ops are built and files cached: start measuring at once")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from tunekit import hub

    arms: list[Callable[[Path], Arm]] = [lambda folder: tunekit_arm(folder, options.steps)]
    if not options.warm:
        run_once(lambda folder: tunekit_arm(folder, 3), steps=3)  # fetches the model and builds the ops
    model = hub.local_model_dir(MODEL)
    if model is None:
        sys.exit(f"{MODEL} is not here although a run has just used it")
    arms.append(lambda folder: bare_arm(folder, options.steps, model))
    if options.llamafactory != "none":
        environment = Path(options.llamafactory)
        make_llamafactory(environment)
        arms.append(lambda folder: llamafactory_arm(folder, options.steps, model, environment))
    for make in arms[1:] if not options.warm else ():
        run_once(make, steps=options.steps)
    timings = [run_once(make, steps=options.steps) for _ in range(options.rounds) for make in arms]
    show(timings)
    if options.json:
        options.json.write_text(json.dumps([timing.__dict__ for timing in timings], indent=1))


if __name__ == "__main__":
    main()
