from __future__ import annotations

from dataclasses import replace

from tests.examining import READINGS, healthy, with_environ, with_readings, with_trial, without_trials
from tunekit.doctor.ops import bitsandbytes, compiler, flash_attention, nvcc, op_cache, ops
from tunekit.launcher.preflight import Fault
from tunekit.recipe.job import Quantization

NVME = {"zero": {"offload_optimizer": "nvme", "nvme_path": "/nvme"}}
NF4 = {"quantization": Quantization(kind="nf4", double_quant=True)}
FLASH = {"attention": "flash_attention_2"}


def with_ops(case, **changes):
    return with_readings(case, ops=replace(READINGS.ops, **changes))


def with_tools(case, **changes):
    return with_readings(case, toolchain=replace(READINGS.toolchain, **changes))


def test_the_compiler():
    assert compiler(healthy()).found == "/usr/bin/c++ takes c++20; Python.h, ninja"
    assert compiler(with_tools(healthy(cards=False), compiler=None)).state == "not needed"
    fault = Fault(kind="missing", check="compiler", text="cpu_adam must be compiled; apt install g++.")
    assert (compiler(healthy(faults=(fault,))).state, compiler(healthy(faults=(fault,))).cure) == (
        "blocks",
        "apt install g++",
    )


def test_no_compiler_where_one_will_be_needed():
    bare = with_tools(with_ops(healthy(plan=False), built=()), compiler=None)
    seen = compiler(bare)
    assert (seen.state, seen.cure) == ("warning", "apt install g++")
    assert "no C++ compiler" in seen.found


def test_the_cuda_toolkit():
    assert nvcc(healthy()).found == "no op here is compiled with CUDA (nvcc 12.8)"
    assert nvcc(with_readings(healthy(plan=False), nvcc=None)).found.endswith("(no nvcc)")
    assert nvcc(healthy(job=NVME)).found == "/usr/local/cuda, nvcc 12.8"
    assert nvcc(healthy(cards=False, job=NVME)).state == "not needed"
    other = nvcc(with_readings(healthy(job=NVME), nvcc="11.8"))
    assert (other.state, other.cure) == ("warning", "install the CUDA 12.8 toolkit")
    gone = nvcc(with_tools(healthy(job=NVME), cuda_home=None))
    assert (gone.state, "CUDA_HOME" in gone.cure) == ("blocks", True)


def test_ops_that_are_built():
    assert ops(healthy()).found == "the plan needs no compiled op"
    assert ops(healthy(cards=False)).found == "deepspeed_shm_comm: built and loaded"
    assert ops(without_trials(healthy(cards=False))).found == "deepspeed_shm_comm: built"
    assert ops(with_trial(healthy(cards=False), "ops", missing="needs torch")).state == "ok"


def test_ops_that_are_not_built():
    seen = ops(with_ops(healthy(cards=False), built=()))
    assert (seen.state, seen.cure) == ("warning", "tunekit doctor RECIPE --build-ops")
    assert "about 30 s on two cores" in seen.found
    machine = ops(with_ops(healthy(plan=False, cards=False), built=("cpu_adam",)))
    assert (machine.state, "--build-ops does it now" in machine.found) == ("ok", True)


def test_an_op_that_does_not_load():
    seen = ops(with_trial(healthy(cards=False), "ops", missing="ImportError: undefined symbol"))
    assert (seen.state, seen.cure) == (
        "blocks",
        "rm -r /home/user/.cache/tunekit/ops/here; tunekit doctor RECIPE --build-ops",
    )
    assert "deepspeed_shm_comm: built, but cannot be loaded: ImportError" in seen.found


def test_the_cache_of_ops():
    assert op_cache(healthy()).found.endswith("built, in ~/.cache/tunekit/ops/here")
    assert op_cache(with_ops(healthy(), built=())).found == "empty, in ~/.cache/tunekit/ops/here"


def test_a_cache_that_makes_trouble():
    locked = op_cache(with_ops(healthy(), stale_locks=("/c/cpu_adam/lock",)))
    assert (locked.state, locked.cure) == ("warning", "rm /c/cpu_adam/lock")
    shared = op_cache(with_ops(healthy(), file_system="nfs4"))
    assert (shared.state, "TORCH_EXTENSIONS_DIR" in shared.cure) == ("warning", True)
    foreign = op_cache(with_ops(healthy(cards=False), foreign=("deepspeed_shm_comm",)))
    assert (foreign.state, "another processor" in foreign.found) == ("warning", True)
    assert op_cache(with_ops(healthy(cards=False), foreign=("cpu_lion",))).state == "ok"


def test_bitsandbytes():
    assert bitsandbytes(healthy()).state == "not needed"
    assert bitsandbytes(healthy(plan=False, cards=False)).state == "not needed"
    assert bitsandbytes(healthy(plan=False)).found == "4 bits and back on 2 cards, 7.0% mean error"
    assert bitsandbytes(healthy(job=NF4)).state == "ok"
    assert bitsandbytes(healthy(job={"optimizer": "adamw_8bit"})).state == "ok"
    assert bitsandbytes(without_trials(healthy(job=NF4))).state == "cannot tell"
    assert bitsandbytes(with_trial(healthy(job=NF4), "four_bit", missing="needs torch")).state == "cannot tell"


def test_bitsandbytes_that_does_not_work():
    case = with_trial(healthy(job=NF4), "four_bit", missing="No compatible CUDA binary found")
    assert (bitsandbytes(case).state, "python -m bitsandbytes" in bitsandbytes(case).cure) == ("blocks", True)
    assert bitsandbytes(with_environ(case, BNB_CUDA_VERSION="118")).cure == "unset BNB_CUDA_VERSION"
    assert bitsandbytes(with_environ(healthy(job=NF4), BNB_CUDA_VERSION="118")).state == "warning"


def test_flash_attention():
    assert flash_attention(healthy()).found == "attention is sdpa"
    assert flash_attention(healthy(plan=False)).state == "not needed"
    assert flash_attention(healthy(job=FLASH)).found == "flash-attn 2.8 loads"
    assert flash_attention(without_trials(healthy(job=FLASH))).state == "ok"
    fault = Fault(kind="missing", check="flash_attention", text="not installed; pip install flash-attn.")
    assert flash_attention(healthy(job=FLASH, faults=(fault,))).cure == "pip install flash-attn"
    broken = flash_attention(with_trial(healthy(job=FLASH), "flash_attention", missing="undefined symbol"))
    assert (broken.state, "undefined symbol" in broken.found) == ("blocks", True)
