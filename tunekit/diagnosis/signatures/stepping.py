"""Forward, backward, the optimizer's step, and the loss."""

from __future__ import annotations

from tunekit.diagnosis.signature import Signature

PARTITIONED = Signature(
    name="partitioned weight",
    pattern=r"'weight' must be 2-D|size mismatch, got .*,\s*0\b",
    cause="a weight was used while ZeRO-3 held it in parts: outside the engine, or without deepspeed.initialize",
    cure="run every forward through the engine, or gather: deepspeed.zero.GatheredParameters",
    source="text-generation-webui#2675",
)
STORAGE_TYPE = Signature(
    name="4-bit storage type",
    pattern=r"shape '\[\d+, \d+\]' is invalid for input of size \d+",
    cause="packed 4-bit weights were read as another type: the engine cast their storage as if it held numbers",
    cure="bnb_4bit_quant_storage=uint8, or the engine's own type (tunekit writes that)",
    source="deepspeed/runtime/engine.py (_cast_module_mixed_precision)",
)
RECOMPUTED = Signature(
    name="recomputation differs",
    pattern=r"Recomputed values for the following tensors have different metadata",
    cause="activation checkpointing without re-entry found a weight in parts when it computed "
    "again (ZeRO-3, frozen base)",
    cure="gradient_checkpointing_kwargs={{'use_reentrant': True}}, or DeepSpeed 0.19.8 and newer",
    source="transformers#47254, DeepSpeed#8148, TRL#2514",
)
OUTPUT_TYPE = Signature(
    name="fp32 adapters",
    pattern=r"output tensor must have the same type as input tensor",
    cause="adapters in fp32 on a bf16 base under ZeRO-3: DeepSpeed 0.19.2 stopped to cast them",
    cure="pip install -U deepspeed, or autocast_adapter_dtype=False",
    source="DeepSpeed#8072, DeepSpeed#8113, TRL#6091",
)
TYPES_DIFFER = Signature(
    name="two types",
    pattern=r"expected scalar type (\w+) but found (\w+)|mat1 and mat2 .*same dtype",
    cause="two tensors of different types met: adapters of one type on a base of another, without autocast",
    cure="cast the adapters to the engine's type (bf16)",
    source="peft#874, LLaMA-Factory#515",
)
NO_GRADIENT = Signature(
    name="nothing to learn",
    pattern=r"None of the inputs have requires_grad=True|does not require grad and does not have a grad_fn",
    cause="no gradient reaches the adapters: re-entrant checkpointing over a frozen embedding",
    cure="model.enable_input_require_grads(), or use_reentrant=False",
    source="peft#1142, transformers#26221, LLaMA-Factory#3798",
)
NO_SYNC = Signature(
    name="no_sync",
    pattern=r"no_sync context manager is incompatible",
    cause="an old transformers or accelerate accumulates gradients in a way that ZeRO-2 and 3 do not allow",
    cure="pip install -U transformers accelerate, or gradient accumulation 1",
    source="DeepSpeed#6793, accelerate#3481, transformers#35157",
)
LOSS_SCALE = Signature(
    name="loss scale",
    pattern=r"[Ll]oss scale already at minimum",
    cause="fp16 overflows at every step: the model was trained in bf16, or the learning rate is too high",
    cure="train.precision=bf16, or a smaller train.learning_rate",
    source="DeepSpeedExamples#418, LLaMA-Factory#251, LMOps#280",
)
SKIPPED = Signature(
    name="step skipped",
    pattern=r"OVERFLOW!.*Skipping step",
    trust="remark",
    cause="fp16 overflowed and steps were skipped: harmless for about 16 of them at the start",
    cure="train.precision=bf16 if it goes on",
    source="deepspeed/runtime/fp16/loss_scaler.py",
)
NOT_A_NUMBER = Signature(
    name="loss not a number",
    pattern=r"(?i:\b(?:train_)?loss['\"]?\s*(?:[:=]|is)?\s*['\"]?nan\b)|grad_norm.{0,4}nan",
    value=True,
    cause="the loss became not a number",
    cure="bf16 in the place of fp16 (train.precision=bf16), a smaller learning rate, or look at the rows of that step",
    source="TRL#618, LLaMA-Factory#8088, qlora#117",
)
LOSS_ZERO = Signature(
    name="loss of zero",
    pattern=r"'loss': '?(0\.0+)'?\s*[,}]",
    trust="remark",
    cause="the loss is exactly 0: every label is masked, or it hides a number that is none",
    cure="look at the first rows with their labels: rows longer than max_seq_length lose their answer",
    source="TRL#6668, TRL#6671, LLaMA-Factory#7263",
)
OTHER_DEVICE = Signature(
    name="two devices",
    pattern=r"Expected all tensors to be on the same device",
    cause="the model lies on several cards: device_map=auto in a job of several processes",
    cure="leave device_map out, or give each rank its own card: {{'': local_rank}}",
    source="MiniCPM-V#186",
)
LAUNCH_FAILURE = Signature(
    name="card failed",
    pattern=r"CUDA error: (unspecified launch failure|an illegal memory access was encountered|the launch timed out)",
    cause="the card failed: {0}; power, riser, heat, or a kernel's fault",
    cure="look for `NVRM: Xid` in `dmesg`; sudo nvidia-smi -pl 350, reseat the card",
    source="open-gpu-kernel-modules#1151",
)
XID = Signature(
    name="Xid",
    pattern=r"NVRM: Xid .*?: (\d+)|fallen off the bus",
    trust="kernel",
    cause="the driver reports a fault of the card (Xid {0})",
    cure="79: power or riser: sudo nvidia-smi -pl 350, one cable per plug, reseat; 13 and 31: "
    "the program; 48 and 63: memory",
    source="open-gpu-kernel-modules#1151, fsdp_qlora#41",
)
TOKEN_BEYOND = Signature(
    name="token beyond the vocabulary",
    pattern=r"Assertion `?srcIndex < srcSelectDimSize|vectorized gather kernel index out of bounds"
    r"|index out of range in self",
    cause="a token's number is beyond the model's embedding: the tokenizer knows more tokens than the model",
    cure="use the tokenizer of this very model; where tokens were added (a pad token, say): "
    "model.resize_token_embeddings(len(tokenizer))",
    source="transformers#24698, Baichuan2#72, lit-llama#306",
)
LABEL_BEYOND = Signature(
    name="label beyond the vocabulary",
    pattern=r"Assertion `?t >= 0 && t < n_classes|Target -?\d+ is out of bounds",
    cause="a label is no token of the model: neither -100 nor a number within the vocabulary",
    cure="labels are the tokens themselves, with -100 where nothing is learned; where a pad token was added: "
    "model.resize_token_embeddings(len(tokenizer))",
    source="aten/src/ATen/native/cuda/Loss.cu",
)
DEVICE_ASSERT = Signature(
    name="assertion on the card",
    pattern=r"CUDA error: device-side assert triggered",
    deeper=("token beyond the vocabulary", "label beyond the vocabulary"),
    cause="a kernel found an index or a value that cannot be; the line with `Assertion` in the log says which",
    cure="CUDA_LAUNCH_BLOCKING=1 in front of the command names the right line; most often a token is beyond the "
    "vocabulary",
    source="c10/cuda/CUDAException.cpp",
)
SIGNATURES = (
    TOKEN_BEYOND,
    LABEL_BEYOND,
    DEVICE_ASSERT,
    PARTITIONED,
    STORAGE_TYPE,
    RECOMPUTED,
    OUTPUT_TYPE,
    TYPES_DIFFER,
    NO_GRADIENT,
    NO_SYNC,
    LOSS_SCALE,
    SKIPPED,
    NOT_A_NUMBER,
    LOSS_ZERO,
    OTHER_DEVICE,
    LAUNCH_FAILURE,
    XID,
)
