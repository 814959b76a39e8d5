from __future__ import annotations

from dataclasses import replace

import pytest

from tests.plans import CPU_BOX, DUAL_4090, RTX_4090, make_caller, make_plan, make_recipe
from tunekit.launcher.environment import (
    STRAY,
    extensions_dir,
    needs_no_p2p,
    path_with_environment_first,
    pins_exactly,
    stray_variables,
    threads_per_rank,
    worker_environment,
)

OFFLOAD = {"offload_optimizer": "cpu", "pin_memory": True}


def environment(plan=None, caller=None, **options):
    return worker_environment(plan or make_plan(), caller or make_caller(), run_dir="/runs/x", **options)


def test_cpu_run_is_whole():
    assert environment() == {
        "DEEPSPEED_TIMEOUT": "120",
        "DS_ACCELERATOR": "cpu",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "PATH": "/venv/bin:/usr/bin:/bin",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TORCH_EXTENSIONS_DIR": str(extensions_dir(make_caller())),
        "TRANSFORMERS_OFFLINE": "1",
        "TUNEKIT_ATTEMPT": "1",
        "TUNEKIT_RUN": "/runs/x",
    }


def test_two_rtx_4090_talk_through_host_memory():
    env = environment(make_plan(DUAL_4090))
    assert (env["NCCL_P2P_DISABLE"], env["NCCL_IB_DISABLE"]) == ("1", "1")
    assert env["DS_ACCELERATOR"] == "cuda"
    assert env["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_one_card_keeps_nccl_as_it_is():
    one = replace(DUAL_4090, gpus=(RTX_4090,))
    assert not needs_no_p2p(one)
    assert "NCCL_P2P_DISABLE" not in environment(make_plan(one))


def test_cards_with_peer_access_keep_it():
    a100 = replace(RTX_4090, name="NVIDIA A100-SXM4-80GB")
    link = replace(DUAL_4090.link, p2p=True, nvlink=True)
    assert not needs_no_p2p(replace(DUAL_4090, gpus=(a100, a100), link=link))
    assert needs_no_p2p(replace(DUAL_4090, link=link)), "a patched driver reports peer access that hangs"
    assert needs_no_p2p(replace(DUAL_4090, gpus=(a100, a100)))


def test_the_user_can_opt_out():
    caller = make_caller(environ={"HOME": "/h", "PATH": "/bin", "NCCL_P2P_DISABLE": "0", "OMP_NUM_THREADS": "3"})
    env = environment(make_plan(DUAL_4090), caller)
    assert env["NCCL_P2P_DISABLE"] == "0"
    assert env["OMP_NUM_THREADS"] == "3"


def test_old_torch_has_the_old_variable():
    caller = make_caller(versions={"torch": "2.8.0+cu128"})
    env = environment(make_plan(DUAL_4090), caller)
    assert env["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    assert "PYTORCH_ALLOC_CONF" not in env


@pytest.mark.parametrize(("cores", "threads"), [(2, "1"), (12, "6"), (1, "1"), (7, "3")])
def test_cores_are_shared(cores, threads):
    box = replace(CPU_BOX, host=replace(CPU_BOX.host, cores=cores))
    assert str(threads_per_rank(make_plan(box))) == threads
    assert environment(make_plan(box))["OMP_NUM_THREADS"] == threads


def test_exact_pinning_needs_mlock():
    plan = make_plan(DUAL_4090, zero=OFFLOAD)
    free = make_caller(memlock_unlimited=True)
    assert pins_exactly(plan, free)
    assert environment(plan, free)["DS_PIN_MEMORY_BACKEND"] == "native"
    assert "DS_PIN_MEMORY_BACKEND" not in environment(plan)
    assert not pins_exactly(make_plan(DUAL_4090), free)
    assert not pins_exactly(make_plan(zero=OFFLOAD), free), "nothing is pinned on a CPU"


def test_streaming_from_the_hub_stays_online():
    assert "HF_HUB_OFFLINE" not in environment(offline=False)


def test_attempt_is_told():
    assert environment(attempt=3)["TUNEKIT_ATTEMPT"] == "3"


def test_wandb_never_asks():
    plan = make_plan(recipe=make_recipe(tracking=["wandb"]))
    assert environment(plan)["WANDB_MODE"] == "offline"
    logged_in = environment(plan, make_caller(wandb_logged_in=True))
    assert "WANDB_MODE" not in logged_in
    assert logged_in["WANDB_DIR"] == "/runs/x"


def test_strays_are_removed():
    found = stray_variables({"ACCELERATE_USE_FSDP": "1", "OMPI_COMM_WORLD_RANK": "0", "HOME": "/h"})
    assert set(found) == {*STRAY, "ACCELERATE_USE_FSDP", "OMPI_COMM_WORLD_RANK"}
    assert {"RANK", "WORLD_SIZE", "MASTER_ADDR", "CUDA_VISIBLE_DEVICES"} <= set(stray_variables({}))


def test_ops_have_a_folder_per_environment():
    folder = extensions_dir(make_caller())
    assert folder.parent.as_posix() == "/home/user/.cache/tunekit/ops"
    assert folder.name.startswith("cp311-torch2.13.0-deepspeed0.19.8-")
    others = (
        make_caller(prefix="/other"),
        make_caller(python_version="3.12.1"),
        make_caller(versions={"torch": "2.14.0", "deepspeed": "0.19.8"}),
    )
    assert len({folder, *map(extensions_dir, others)}) == 4
    assert extensions_dir(make_caller(environ={"TORCH_EXTENSIONS_DIR": "/mine"})).as_posix() == "/mine"
    assert extensions_dir(make_caller(environ={"XDG_CACHE_HOME": "/c"})).as_posix().startswith("/c/tunekit/ops/")


def test_environment_comes_first_on_the_path_once():
    caller = make_caller(environ={"PATH": "/usr/bin:/venv/bin:/bin"})
    assert path_with_environment_first(caller) == "/venv/bin:/usr/bin:/bin"
