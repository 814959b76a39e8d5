"""Loading, saving and resuming: weights, checkpoints, drives."""

from __future__ import annotations

from tunekit.diagnosis.signature import Signature

SHARDED_LOADING = Signature(
    name="sharded loading",
    pattern=r"Detected DeepSpeed ZeRO-3: activating zero\.init",
    trust="marker",
    cause="the model is built in shards",
    cure="where a rank is killed while loading and this line is absent, every rank loads the whole model: make the "
    "TrainingArguments before the model",
    source="FAI-RL#66, DeepSpeed#3125; transformers/modeling_utils.py",
)
LOADING = Signature(
    name="loading weights",
    pattern=r"Loading (?:weights|checkpoint shards)",
    trust="marker",
    cause="the weights are read",
    cure="killed here: the host holds the whole checkpoint on rank 0, and the shards beside it",
    source="transformers#24964",
)
EMPTY_ADAPTER = Signature(
    name="empty tensors",
    pattern=r"copying a param with shape torch\.Size\(\[0\]\)",
    cause="the adapter was saved under ZeRO-3 without gathering: its tensors are empty",
    cure="train again and save with Trainer.save_model (tunekit reads back what it saves); the file holds nothing",
    source="peft#460, peft#1328, peft#2450, TRL#4416",
)
INVALID_ADAPTER = Signature(
    name="invalid adapter",
    pattern=r"LoRA tensor\(s\) have invalid shape",
    cause="tensors of the adapter are empty: it is being saved under ZeRO-3 without gathering",
    cure="save with Trainer.save_model, or inside deepspeed.zero.GatheredParameters",
    source="peft/utils/save_and_load.py",
)
NOT_GATHERED = Signature(
    name="weights not gathered",
    pattern=r"16bit_weights_on_model_save.*(?:False|false)",
    cause="stage3_gather_16bit_weights_on_model_save is false: the weights were saved in shards only",
    cure="set it to true; for what is there: `python zero_to_fp32.py CHECKPOINT OUTPUT`",
    source="transformers/trainer.py; accelerate/accelerator.py",
)
HUB_CACHE_FULL = Signature(
    name="hub's cache full",
    pattern=r"(?:huggingface_hub|CAS service error|/huggingface/hub)[^\n]*(?:\n[^\n]*){0,3}?No space left on device"
    r"|No space left on device[^\n]*/huggingface/",
    needles=("No space left on device",),
    cause="the drive that the hub's downloads go to (~/.cache/huggingface) is full",
    cure="export HF_HOME=/on/a/larger/drive, or free space there: `hf cache ls` shows what it holds",
    source="huggingface_hub/file_download.py",
)
DISK_FULL = Signature(
    name="disk full",
    pattern=r"PytorchStreamWriter failed|unexpected pos \d+ vs \d+|No space left on device|Errno 28",
    cause="the disk is full",
    cure="the disk is full: free space, or set output.dir to another drive, or output.keep_checkpoints=1",
    source="ChatGLM-6B#1166, LLaMA-Factory#1223, dolly#139",
)
SWAP_FILES = Signature(
    name="swap file cut off",
    pattern=r"buffer nbytes != file bytes",
    cause="a swap file of NVMe offload is shorter than written: the drive is full, or its file "
    "system has no direct I/O",
    cure="zero.nvme_path on a real NVMe drive (ext4, xfs) with free space, and empty the folder",
    source="DeepSpeed#1070, DeepSpeed#1627",
)
OTHER_WORLD = Signature(
    name="another number of processes",
    pattern=r"used a DP world size of (\d+) but the current world size is (\d+)",
    cause="the checkpoint is of {0} processes, and {1} were started",
    cure="resume with {0} processes, or convert it to DeepSpeed's universal checkpoint, or "
    "start from the weights alone",
    source="DeepSpeed#2898, DeepSpeed#3810, DeepSpeed#5405",
)
NOT_SAFE = Signature(
    name="weights-only load",
    pattern=r"Weights only load failed|UnpicklingError",
    cause="torch 2.6 and newer refuses pickled objects in a checkpoint of an older DeepSpeed, or the file is cut off",
    cure="pip install -U deepspeed; if it stays, the newest checkpoint is broken: go on from the one before",
    source="ms-swift#5808, open-instruct#673, axolotl#2634",
)
NO_CHECKPOINT = Signature(
    name="no checkpoint",
    pattern=r"Can't find a valid checkpoint at",
    cause="the folder has no state of DeepSpeed (global_step*): only weights were saved, or the save was cut short",
    cure="go on from an earlier checkpoint, or start anew from the adapter; save_only_model=False keeps states",
    source="transformers/integrations/deepspeed.py",
)
MISSING_KEYS = Signature(
    name="missing keys",
    pattern=r"Missing key\(s\) in state_dict",
    cause="the checkpoint has only the adapter, and an old transformers wants every weight",
    cure="pip install -U transformers",
    source="transformers#29015, peft#1453, axolotl#1134",
)
SIGNATURES = (
    SHARDED_LOADING,
    LOADING,
    EMPTY_ADAPTER,
    INVALID_ADAPTER,
    NOT_GATHERED,
    HUB_CACHE_FULL,
    DISK_FULL,
    SWAP_FILES,
    OTHER_WORLD,
    NOT_SAFE,
    NO_CHECKPOINT,
    MISSING_KEYS,
)
