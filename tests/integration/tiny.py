"""A whole model in a second: a real Llama with a tokenizer, a chat template and data, built in code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from tunekit.ds_config.build import build_ds_config
from tunekit.hardware.spec import Disk, Hardware, Host
from tunekit.hub import find_shape
from tunekit.launcher.caller import this_caller
from tunekit.launcher.environment import extensions_dir
from tunekit.launcher.ports import choose_port
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_to_json
from tunekit.recipe.loading import load_recipe
from tunekit.units import GIB

HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB = 128, 2, 4, 2, 512

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|unk|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
COLOURS = ("red", "green", "blue", "white", "black", "brown", "grey", "pink")
THINGS = ("car", "house", "tree", "river", "stone", "bird", "door", "lamp")


def write_model(
    folder: Path, *, seed: int = 7, hidden: int = HIDDEN, vocabulary: int = VOCAB, tied: bool = False
) -> Path:
    """A Llama of some 300,000 random parameters in bf16, with its tokenizer; loads like any model folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=hidden,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        intermediate_size=2 * hidden,
        vocab_size=vocabulary,
        max_position_embeddings=512,
        initializer_range=0.1,
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer trained on the data below, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" ".join(row.values()) for row in rows(64)), trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[3],
        chat_template=TEMPLATE,
    ).save_pretrained(folder)


def write_data(path: Path, *, count: int = 64) -> Path:
    """Alpaca rows, a file per line of JSON."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count)))
    return path


def rows(count: int) -> list[dict[str, str]]:
    """Questions whose answers can be learned; answers of different lengths."""
    found = []
    for number in range(count):
        colour, thing = COLOURS[number % 8], THINGS[number // 8 % 8]
        answer = f"The {thing} is {colour}." + f" It is very {colour}." * (number % 4)
        found.append({"instruction": f"What colour is the {thing} number {number}?", "input": "", "output": answer})
    return found


def machine(processes: int = 2) -> Hardware:
    """A machine without GPUs that holds anything tiny."""
    return Hardware(
        name="test",
        description=f"{processes} processes on a CPU",
        gpus=(),
        link=None,
        host=Host(cpu="any", cores=2, ram_bytes=64 * GIB, usable_ram_bytes=60 * GIB, ram_bandwidth=20 * 10**9),
        disks=(Disk(name="disk", total_bytes=10**12, usable_bytes=10**12, read_rate=10**9, write_rate=10**9),),
        cpu_processes=processes,
    )


def recipe(model: Path, data: Path, run: Path, /, **changes: Any) -> dict[str, Any]:
    """A recipe for the tiny model that takes a second; `changes` are merged into its sections."""
    sections: dict[str, dict[str, Any]] = {
        "model": {"path": str(model)},
        "method": {"kind": "full"},
        "zero": {"preset": "z2"},
        "data": {"path": str(data), "packing": True},
        "train": {
            "max_seq_length": 64,
            "micro_batch_size": 1,
            "gradient_accumulation_steps": 2,
            "max_steps": 4,
            "learning_rate": 5e-4,
            "warmup_ratio": 0.0,
            "activation_checkpointing": False,
        },
        "output": {"dir": str(run)},
    }
    merged = {name: {**section, **changes.pop(name, {})} for name, section in sections.items()}
    return {**merged, "tracking": [], **changes}


def write_run(run: Path, wanted: dict[str, Any], *, processes: int = 2) -> Plan:
    """Plan the recipe and write what the worker reads: plan.json and ds_config.json."""
    loaded = load_recipe(wanted).recipe
    plan = make_plan(loaded, find_shape(loaded.model.path), machine(processes))
    run.mkdir(parents=True, exist_ok=True)
    config = build_ds_config(plan.recipe, plan.job, plan.model_shape)
    RunDir(run).plan.write_text(json.dumps(plan_to_json(plan)))
    RunDir(run).ds_config.write_text(json.dumps(config))
    return plan


def environment(**extra: str) -> dict[str, str]:
    """The environment of a launch from a test; DeepSpeed's ops are built once and shared with real launches."""
    ops = os.environ.get("TORCH_EXTENSIONS_DIR") or str(extensions_dir(this_caller()))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    fixed = {"DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TORCH_EXTENSIONS_DIR": ops}
    return {**os.environ, **fixed, "PATH": path, **extra}


def build_ops(run: Path) -> None:
    """Build what this run's plan needs, where it is not there yet."""
    argv = [sys.executable, "-m", "tunekit.worker.prepare", "--plan", str(RunDir(run).plan)]
    subprocess.run(argv, env=environment(), check=True, timeout=900)


def built_ops(*names: str) -> Path:
    """The folder of DeepSpeed's compiled ops with these in it; they are built where they are not there yet."""
    code = f"from tunekit.worker.prepare import build_missing; build_missing({names!r})"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=500)
    return Path(environment()["TORCH_EXTENSIONS_DIR"])


def start(
    runs: Sequence[Path], *, checkpoints: Mapping[Path, Path] = MappingProxyType({}), processes: int = 2
) -> subprocess.Popen[bytes]:
    """Real ranks under the real `deepspeed` launcher that train the plans of `runs` one after the other.

    One launch for many plans, because the imports alone take 10 s on two cores. `checkpoints`: where runs go on from.
    """
    argv = [str(Path(sys.executable).parent / "deepspeed"), "-H", "/dev/null", "--num_gpus", str(processes)]
    argv += [
        "--no_local_rank",
        "--master_port",
        str(choose_port(str(runs[0]))),
        str(Path(__file__).parent / "several_runs.py"),
    ]
    plans = (str(RunDir(run).plan) for run in runs)
    argv += [
        f"{plan}={checkpoints[run]}" if run in checkpoints else plan for run, plan in zip(runs, plans, strict=True)
    ]
    log = (runs[0] / "launcher.log").open("wb")
    with log:
        return subprocess.Popen(argv, env=environment(), stdout=log, stderr=log, start_new_session=True)


def finish(started: subprocess.Popen[bytes], *, timeout: float = 540) -> int:
    """Wait for a launch and leave nothing behind; its exit code."""
    try:
        return started.wait(timeout)
    finally:
        end(started)


def wait_for_step(started: subprocess.Popen[bytes], run: Path, step: int) -> None:
    """Return when the run has logged `step`; AssertionError when it ended before."""
    while not any(done >= step for done in metrics(run, "step")):
        with suppress(subprocess.TimeoutExpired):
            code = started.wait(0.05)
            raise AssertionError(f"ended with code {code} before step {step}: {log_tail(run)}")


def log_tail(run: Path) -> str:
    """The end of what the launch said."""
    return (run / "launcher.log").read_text(errors="replace")[-4000:]


def end(started: subprocess.Popen[bytes]) -> None:
    """SIGKILL for every process of the launch, all at once."""
    try:
        family = [*psutil.Process(started.pid).children(recursive=True), psutil.Process(started.pid)]
    except psutil.NoSuchProcess:
        family = []
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    started.wait()


def metrics(run: Path, name: str = "loss") -> list[float]:
    """One value per logged step."""
    path = RunDir(run).metrics
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [record[name] for record in records if name in record]
