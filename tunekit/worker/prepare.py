"""Before the ranks start, in one process: `python -m tunekit.worker.prepare --plan RUN/plan.json`.

Builds the DeepSpeed ops the plan needs, one after the other, and converts a .gguf file to a model folder. Ranks that
did this themselves would race, and wait for each other in silence.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tunekit.errors import MissingError, TunekitError
from tunekit.hub import CONVERTED_MARKER, converted_gguf_dir, gguf_source, local_model_dir
from tunekit.launcher.ops import (
    EXPECTED_SECONDS,
    build_lock,
    forget_op,
    locked_ops,
    missing_ops,
    needed_ops,
    remove_stale_locks,
    write_stamp,
)
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_from_json
from tunekit.units import format_bytes, format_seconds
from tunekit.worker.main import Options, read_options

LOCK_POLL_SECONDS = 0.5
BUILDERS = {
    "deepspeed_shm_comm": "ShareMemCommBuilder",
    "cpu_adam": "CPUAdamBuilder",
    "cpu_lion": "CPULionBuilder",
    "async_io": "AsyncIOBuilder",
    "pin_memory": "PinMemoryBuilder",
}
"""The class in DeepSpeed that builds each op of `tunekit.launcher.ops.needed_ops`."""


def main(argv: Sequence[str]) -> int:
    """Make ready what the plan needs; 0, or the exit code of what is missing."""
    options = read_options(argv)
    try:
        plan = plan_from_json(options.plan.read_text())
        build_ops(plan)
        convert_model(plan)
        fit_checkpoint(plan, options)
    except TunekitError as error:
        print(error, flush=True)
        return error.exit_code
    return 0


def build_ops(plan: Plan) -> None:
    """Build every op that the plan needs and that is missing. Raises as `build_missing`."""
    pins_exactly = os.environ.get("DS_PIN_MEMORY_BACKEND") == "native"
    build_missing(needed_ops(plan.job, pins_exactly=pins_exactly))


def build_missing(ops: tuple[str, ...]) -> None:
    """Build those of `ops` that are missing into TORCH_EXTENSIONS_DIR. MissingError: one cannot be built, and why."""
    folder = extensions_dir()
    with build_lock(folder):
        clear_locks(folder, ops)
        for op in missing_ops(folder, ops):
            forget_op(folder, op)
            build_op(op, folder)


def clear_locks(folder: Path, ops: tuple[str, ...]) -> None:
    """Wait until nobody holds a lock of torch's: those that work let go, those that were killed are found out."""
    while True:
        for lock in remove_stale_locks(folder):
            print(f"removed the lock of a builder that was killed: {lock}", flush=True)
        if not locked_ops(folder, ops):
            return
        time.sleep(LOCK_POLL_SECONDS)


def extensions_dir() -> Path:
    """The folder torch builds extensions into. MissingError: the launcher did not name one."""
    folder = os.environ.get("TORCH_EXTENSIONS_DIR")
    if not folder:
        raise MissingError("TORCH_EXTENSIONS_DIR is not set; `tunekit launch` sets it.")
    return Path(folder)


def build_op(op: str, folder: Path) -> None:
    """Build and load one op, and record that it was done for this processor."""
    seconds = format_seconds(EXPECTED_SECONDS.get(op, 60))
    print(f"building {op} (about {seconds} on two cores)", flush=True)
    started = time.monotonic()
    try:
        load_op(op)
    except Exception as error:
        raise MissingError(f"DeepSpeed's op {op} cannot be built: {error}") from error
    write_stamp(folder, op)
    print(f"built {op} in {format_seconds(time.monotonic() - started)}", flush=True)


def load_op(op: str) -> object:
    """The op's library, compiled where it is not there yet."""
    from deepspeed.accelerator import get_accelerator

    builder = get_accelerator().create_op_builder(BUILDERS[op])
    return builder.load(verbose=False)


def convert_model(plan: Plan) -> None:
    """Make a model folder of the plan's .gguf file, where it has one and that was not done before."""
    model = plan.recipe.model
    if local_model_dir(model.path, model.revision) is not None:
        return
    gguf = gguf_source(model.path)
    if gguf is None:
        raise MissingError(f"{model.path} is not on this disk; `tunekit launch` fetches it first.")
    convert_gguf(gguf, converted_gguf_dir(gguf))


def fit_checkpoint(plan: Plan, options: Options) -> None:
    """Make the checkpoint to resume from fit the plan, where it does not. MissingError: it cannot be converted."""
    if options.resume_from is None or options.transfer is None:
        return
    from tunekit.worker.converting import convert

    started = time.monotonic()
    print(f"making {options.resume_from.name} fit: {options.transfer}", flush=True)
    convert(options.resume_from, RunDir(options.plan.resolve().parent).converted, plan, options.transfer)
    print(f"converted {options.resume_from.name} in {format_seconds(time.monotonic() - started)}", flush=True)


def convert_gguf(gguf: Path, target: Path) -> None:
    """Write the model in `gguf` as bf16 safetensors with its tokenizer to `target`; there whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    print(f"converting {gguf.name} ({format_bytes(gguf.stat().st_size)}) to {target}", flush=True)
    started = time.monotonic()
    building = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(building)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    unmark_quantized(model)
    model.save_pretrained(building)
    (building / CONVERTED_MARKER).write_text(json.dumps({"from": str(gguf), "bytes": gguf.stat().st_size}) + "\n")
    take_its_place(building, target)
    print(f"converted {gguf.name} in {format_seconds(time.monotonic() - started)}", flush=True)


def unmark_quantized(model: object) -> None:
    """A model read from .gguf stays marked as quantised, though its weights are plain, and then refuses to be saved."""
    for name in ("hf_quantizer", "is_quantized", "quantization_method"):
        if name in vars(model):
            delattr(model, name)
    config = getattr(model, "config", None)
    if config is not None and hasattr(config, "quantization_config"):
        del config.quantization_config


def take_its_place(building: Path, target: Path) -> None:
    """Move a finished folder to where it belongs, in one step; what was half made there goes."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        building.rename(target)
    except OSError:
        # Another process finished first.
        shutil.rmtree(building, ignore_errors=True)
        if not (target / CONVERTED_MARKER).exists():
            raise


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
