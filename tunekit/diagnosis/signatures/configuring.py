"""Configurations that libraries refuse: DeepSpeed's JSON, the trainer's arguments, batch sizes."""

from __future__ import annotations

from tunekit.diagnosis.signature import Signature

BATCH = Signature(
    name="batch identity",
    pattern=r"Check batch related parameters.{0,999} (\d+) != (\d+) \* (\d+) \* ([\d.]+)",
    cause="the batch sizes contradict each other: {0} is not {1} x {2} x {3} (micro-batch x accumulation x processes); "
    "1 process where there are more means that the process group was not there yet",
    cure="leave train_batch_size out of DeepSpeed's JSON, and call "
    "deepspeed.init_distributed() before the model is built",
    source="DeepSpeed#6914, DeepSpeed#17, OpenRLHF#346",
)
AUTO_LEFT = Signature(
    name='"auto" left over',
    pattern=r"'[<>]=?' not supported between instances of 'str'",
    cause='an "auto" was left in DeepSpeed\'s JSON: only the HF Trainer fills it',
    cure='write numbers in place of every "auto"; `tunekit launch --dry-run` prints such a JSON',
    source="deepspeed/runtime/config.py",
)
MISMATCH = Signature(
    name="two values",
    pattern=r"mismatch TrainingArguments",
    cause="DeepSpeed's JSON and the trainer's arguments state different values; the lines above list the pairs",
    cure='write "auto" in the JSON, or the same numbers in both',
    source="transformers/integrations/deepspeed.py",
)
NO_HIDDEN_SIZE = Signature(
    name="hidden size unknown",
    pattern=r"it's not possible to automatically fill out the following `?auto`? entries",
    cause="the model's config.json has no hidden_size, so the bucket sizes cannot be filled in",
    cure="write reduce_bucket_size and the stage3_* sizes as integers",
    source="transformers/integrations/deepspeed.py",
)
UNKNOWN_KEY = Signature(
    name="unknown key",
    pattern=r"validation errors? for DeepSpeedZeroConfig|Extra inputs are not permitted",
    cause="zero_optimization has a key that this version of DeepSpeed does not know",
    cure="remove the key that is named above the message, or mend its spelling",
    source="deepspeed/runtime/zero/config.py",
)
REMOVED_KEY = Signature(
    name="removed key",
    pattern=r"DeepSpeedConfigError: (.*removed.*)",
    cause="DeepSpeed's JSON has a key of an older version: {0}",
    cure="delete that key",
    source="deepspeed/runtime/config.py",
)
WARMUP = Signature(
    name="warmup of 0",
    pattern=r"warmup_num_steps must be a positive integer",
    cause="a scheduler of DeepSpeed needs one step of warmup or more",
    cure="warmup_num_steps: 1, or leave the scheduler block out",
    source="deepspeed/runtime/lr_schedules.py",
)
TWO_PRECISIONS = Signature(
    name="two precisions",
    pattern=r"cannot be simultaneously enabled",
    cause="bf16 and fp16 are both enabled",
    cure="keep bf16 on cards since 2020, fp16 on older ones (train.precision)",
    source="deepspeed/runtime/config.py",
)
DEVICE_MAP = Signature(
    name="device_map under ZeRO-3",
    pattern=r"not compatible with passing a `device_map`",
    cause="from_pretrained was given a device_map, and ZeRO-3 places the weights itself",
    cure="leave device_map out",
    source="transformers/integrations/accelerate.py",
)
UNTESTED_OPTIMIZER = Signature(
    name="optimizer and ZeRO",
    pattern=r"untested ZeRO Optimizer|ZeRO-Offload with a client provided optimizer",
    cause="this optimizer is not known to work with ZeRO, or with offload",
    cure="with offload: AdamW of DeepSpeed (train.optimizer=adamw); else zero_allow_untested_optimizer: true",
    source="bitsandbytes#596, accelerate#1208; deepspeed/runtime/zero/utils.py",
)
UNKNOWN_ARGUMENT = Signature(
    name="unknown argument",
    pattern=r"unexpected keyword argument '(\w+)'",
    cause="{0} is no argument of this version of the library",
    cure="transformers 5: evaluation_strategy is eval_strategy, tokenizer is processing_class, "
    "warmup_ratio is warmup_steps "
    "below 1, load_in_4bit goes into quantization_config; others are listed in its migration guide",
    source="transformers#7974; transformers/training_args.py",
)
NO_BF16 = Signature(
    name="no bf16",
    pattern=r"Your setup doesn't support bf16/gpu|Type bf16 is not supported on your device",
    cause="this card cannot compute in bf16, or no card is visible to the process",
    cure="train.precision=fp16, or a card of compute capability 8.0 or newer",
    source="transformers/training_args.py; deepspeed/runtime/engine.py",
)
ACCUMULATION = Signature(
    name="accumulation replaced",
    pattern=r"Gradient accumulation steps mismatch",
    trust="remark",
    cause="accelerate took the gradient accumulation of DeepSpeed's JSON in place of its own",
    cure="state it in one place, or the same in both",
    source="accelerate/accelerator.py",
)
NO_PADDING = Signature(
    name="no padding token",
    pattern=r"does not have a padding token",
    cause="the tokenizer has no padding token",
    cure="tokenizer.pad_token = tokenizer.unk_token, or a reserved token; not eos, else the model never learns to stop",
    source="TRL#976, unsloth#416",
)
GATED = Signature(
    name="gated or limited",
    pattern=r"GatedRepoError|401 Client Error|429 Client Error|Cannot access gated repo",
    cause="the hub refused the download: the model is gated, or too much was asked for",
    cure="accept its terms on the hub and `hf auth login`, or fetch it once before the ranks start",
    source="huggingface_hub errors",
)
NETWORK = Signature(
    name="network lost",
    pattern=r"^(?:\[rank\d+\]:\s*)?(?:requests|urllib3?|httpx|httpcore|aiohttp|botocore|huggingface_hub)\.(?:\w+\.)*"
    r"(?:Connect(?:ion)?|Read|Write|Protocol|RemoteProtocol|SSL|Proxy|URL|MaxRetry|NewConnection|EndpointConnection"
    r"|ChunkedEncoding|LocalEntryNotFound|ServerDisconnected|ClientConnector)"
    r"(?:Error|Timeout(?:Error)?)?:",
    cause="a download or a call over the network broke off: the hub, a proxy or the line",
    cure="fetch model and data once before the ranks start (`hf download`), then HF_HUB_OFFLINE=1; a tracker: "
    "WANDB_MODE=offline",
    source="requests/exceptions.py, httpx/_exceptions.py, huggingface_hub/errors.py",
)
SIGNATURES = (
    BATCH,
    AUTO_LEFT,
    MISMATCH,
    NO_HIDDEN_SIZE,
    UNKNOWN_KEY,
    REMOVED_KEY,
    WARMUP,
    TWO_PRECISIONS,
    DEVICE_MAP,
    UNTESTED_OPTIMIZER,
    UNKNOWN_ARGUMENT,
    NO_BF16,
    ACCUMULATION,
    NO_PADDING,
    GATED,
    NETWORK,
)
