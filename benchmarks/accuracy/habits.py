"""What programs do that their tables do not say: one function per program, each habit with the code it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from accuracy.rows import Row
from accuracy.setting import Reading, States
from tunekit.memory.practice import Practice

Loss = str
TORCH_2 = "2023-03-15"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """A program's habits. `adapter_states` are the states of an adapter, `states` those of full tuning."""

    practice: Practice = Practice()
    states: States = States()
    adapter_states: States = States(trained_bytes=4, step_copies=1.0)
    reading: Reading = "device"
    """How a figure was read where the table does not say."""
    loss: Loss = "full"
    length: int | None = None
    """Tokens of a row where the table gives none."""
    micro_batch: int | None = None
    attention: str = "sdpa"
    checkpointing: bool = True
    rank: int = 8
    dropout: float = 0.0
    targets: str = "q_proj v_proj"
    slots: int = 1
    """Adapters of the same rank that are trained side by side."""
    varies: bool = False
    """Whether rows that are not packed keep their own lengths, and those over the maximum are dropped."""
    mean_length: int | None = None
    """Mean tokens of a row where the table gives none."""
    own_layers: str = ""
    """The program whose own model code saves other tensors than transformers'."""
    longest_first: bool = False
    """Whether the first step has the longest row, which then is the peak."""
    packs: bool = False
    expandable: bool = False
    """Whether it sets expandable_segments, or its compiled layers come and go alike."""
    as_of: str = ""
    """Date of the libraries where it is not the table's own."""
    unit: float | None = None
    """What a unit is that the table leaves open: at the shortest rows weights and states leave no room for another."""
    stage: int | None = None
    """ZeRO stage of a program that always runs under DeepSpeed."""
    bucket: int | None = None
    """DeepSpeed's reduce_bucket_size, None for what the Trainer writes."""
    output_bytes: float = 0.0
    """Bytes per logit of an output that lives until the next step."""


def habits_of(row: Row) -> Habits:
    """The habits of the program that a row names; transformers' Trainer and PEFT where it is not known."""
    if "classification" in row.text("model"):
        return encoder(row)
    framework = row.text("framework")
    for name, make in _PROGRAMS:
        if name in framework:
            return make(row)
    return trainer(row)


def transformers_logits(published: str, *, fused: bool = False) -> float:
    """Bytes per logit at the peak of transformers' loss, by the date of the version that was in use.

    float32 logits 4, their shifted copy 4, log-softmax 4 (not with a fused loss); 16-bit logits 2 more, alive since
    4.46 of October 2024, where the loss function up-casts its own copy. Since 4.50 (March 2025) labels are shifted, not
    logits; then the backward decides: log-softmax, its gradient and that of the logits.
    """
    if published >= "2025-03-21":
        return 8.0 if fused else 12.0
    late = 2.0 if published >= "2024-10-24" else 0.0
    return (8.0 if fused else 12.0) + late


def trainer(row: Row) -> Habits:
    """transformers' Trainer with PEFT: adapters in float32, torch's AdamW over lists (foreach)."""
    logits = transformers_logits(row.text("published") or "2025")
    return Habits(practice=Practice(logit_bytes=logits))


def peft_loop(row: Row) -> Habits:
    """PEFT's own comparison: a bare loop without autocast, adapters in float32, outputs alive during backward."""
    return replace(
        trainer(row),
        practice=Practice(logit_bytes=14.0, adapter_input_bytes=4),
        reading="reserved",
        checkpointing=False,
        targets="q_proj v_proj",
        rank=32,
    )


def fms(row: Row) -> Habits:
    """fms-hf-tuning: TRL's trainer on packed rows, with or without fused kernels of fms-acceleration."""
    kernels, engine = row.text("kernels"), row.text("framework")
    fused = "foak" in kernels
    published = row.text("published")
    # The tables were made with the transformers of months before: 4.45 until December 2024, 4.48 in February 2025.
    logits = transformers_logits(published if published >= "2025" else "2024-10", fused=fused)
    wide = row.text("method") == "lora" and not row.text("compute_dtype").startswith("amp")
    practice = Practice(
        logit_bytes=logits,
        loss_hidden_bytes=4.0 if fused else 6.0,
        fused_norms=fused,
        adapter_input_bytes=4 if wide else None,
        repeats_values="mistral-7b" in row.text("model") and published < "2025",
        residual_bytes=4 if "baseline" in engine and row.text("parallelism") == "none" else None,
    )
    amp = row.text("compute_dtype").startswith("amp")
    sharded = "fsdp" in row.text("parallelism")
    full = States(trained_bytes=4 if amp and sharded else 2, keeps_gradients=sharded)
    upcast = "baseline" in engine and not sharded and "nvidia" in row.text("mem_metric")
    # Quantised bases under FSDP: adapters are ignored modules in 16 bits, whose gradients stay.
    if sharded and row.text("quant"):
        adapter = States(trained_bytes=2, trained_whole=True, keeps_gradients=True)
    else:
        adapter = States(trained_bytes=4, frozen_upcast=upcast)
    loss = "liger" if "liger" in kernels else "full"
    return Habits(
        practice=practice, states=full, adapter_states=adapter, loss=loss, attention="flash_attention_2", rank=16,
        dropout=0.1, packs=True,
    )  # fmt: skip


def own_transformer(row: Row) -> Habits:
    """DeepSpeed's example of 16-bit states: nn.MultiheadAttention, which keeps its scores; small buckets.

    With 16-bit states it runs under autocast: norms give float32, scores are softmaxed in float32.
    """
    autocast = row.text("master_weights").startswith("bf16")
    practice = Practice(
        logit_bytes=14.0 if autocast else 8.0,
        residual_bytes=4 if autocast else None,
        score_bytes=6 if autocast else 2,
        autocast_norms=autocast,
    )
    return Habits(practice=practice, attention="eager", reading="allocated", bucket=50_000_000, output_bytes=2.0)


def encoder(row: Row) -> Habits:
    """transformers' encoders of 2022 on a classification: no logits, eager attention, dropout of scores.

    Of the scores softmax, a mask of one byte and the dropped copy stay: 9 B in float32, 5 B and the 4 of a softmax in
    float32 under autocast. Before torch 2.0 gradients are zeroed, not freed, and AdamW steps tensor by tensor.
    """
    old = (row.text("published") or "2022") < TORCH_2
    whole = row.text("compute_dtype") == "fp32"
    practice = Practice(logit_bytes=0.0, score_bytes=4.5 if whole else 9.0)
    states = States(trained_bytes=4, keeps_gradients=old, step_copies=0.0 if old else 1.0)
    return replace(trainer(row), practice=practice, states=states, reading="device", checkpointing=False)


def litgpt(row: Row) -> Habits:
    """litgpt: a model of its own in bf16; logits in chunks, which Fabric turns into float32 and which all stay.

    They are 4 V, their log-softmax 4 V, which gives way to their gradient: all of the loss comes before the head.

    Quantised, the head is too; bitsandbytes up to 0.42 keeps inputs of 4-bit linears; its 32-bit states may be paged
    but are there. FSDP starts from a whole model on every card. 4-bit weights are quantised from float16.
    Mixed precision stores all in float32. Scripts of 2023 (PyTorch 2.1) began with the longest row, so that nothing
    was left of a step before.
    """
    quantised, sharded = bool(row.text("quant")), "fsdp" in row.text("parallelism")
    wide = "mixed" in row.text("compute_dtype")
    full = States(trained_bytes=4 if wide else 2, whole_at_first=sharded)
    adapter = replace(full, frozen_upcast=wide)
    if quantised:
        adapter = States(
            trained_bytes=2, moment_bytes=8.0, step_copies=0.0, quantizes_head=True, dequantises_twice=True
        )
    return Habits(
        practice=Practice(logit_bytes=8.0, residual_bytes=4 if wide else None),
        states=full,
        adapter_states=adapter,
        reading="allocated",
        dropout=0.05,
        checkpointing=False,
        own_layers="litgpt",
        longest_first="pytorch 2.1" in row.text("framework"),
    )


def torchtune(row: Row) -> Habits:
    """torchtune: a model of its own in bf16, compiled, with fused AdamW; adapters in bf16 on all projections but k.

    The head's loss is one kernel over chunks. The older one of eight chunks has all logits in 16 bits, and of a chunk
    those in float32, log-softmax and two gradients, of which compiling spares all but one. On cards of
    48 GB its README ran without checkpointing: what it printed is 14 GiB more than on cards of 24 GB.
    """
    moments = 2 * (0.5 + 4 / 128) if "4-bit" in row.text("optimizer") else None
    bits = States(trained_bytes=2, step_copies=0.0, moment_bytes=moments, ends_apart=True)
    compiled = row.text("torch_compile") == "on"
    logits = 2 + (0.5 if compiled else 1.75)
    return Habits(
        practice=Practice(logit_bytes=logits), own_layers="compiled" if compiled else "",
        states=bits, adapter_states=bits, reading="allocated", checkpointing="a6000" not in row.text("gpu_type"),
        loss="chunks" if "chunked" in row.text("kernels") else "liger", length=2048, micro_batch=2,
        targets="q_proj v_proj o_proj gate_proj up_proj down_proj", attention="flash_attention_2", expandable=True,
    )  # fmt: skip


def torchao(row: Row) -> Habits:
    """torchao's example: a Llama of its own in bf16, AdamW tensor by tensor, figures / 1e9.

    The loss has full float32 logits; compiled, those and their gradient stay in 16 bits.
    """
    logits = 4.0 if row.text("torch_compile") == "on" else 12.0
    states = States(
        trained_bytes=2, step_copies=0.0, stored_bytes=1 if "int8" in row.text("base_weight_dtype") else None
    )
    return Habits(practice=Practice(logit_bytes=logits), states=states, reading="allocated", unit=1e9)


def fsdp_qlora(row: Row) -> Habits:
    """Answer.AI's fsdp_qlora: pure bf16 adapters, FSDP 1, transformers' loss of early 2024, dropout 0.1."""
    practice = Practice(logit_bytes=12.0, layer_input_gradients=True)
    return Habits(practice=practice, adapter_states=States(trained_bytes=2), rank=64, dropout=0.1,
                  reading="reserved", packs=True)  # fmt: skip


def swift(row: Row) -> Habits:
    """ms-swift: transformers' Trainer. Rows over the maximum are dropped; the others keep their changing lengths.

    Its log prints torch's reserved memory. Its examples train on Alpaca's instructions, of about 200 tokens. ChatGLM's
    own code multiplies its attention out.
    """
    attention = "eager" if "chatglm" in row.text("model") else "sdpa"
    return replace(
        trainer(row), reading="reserved", length=2048, micro_batch=1, varies=True, mean_length=200,
        attention=attention, dropout=0.05,
    )  # fmt: skip


def trl(row: Row) -> Habits:
    """TRL's notebooks: a quantised base is made ready for training, which up-casts what stays in 16 bits to float32."""
    base = trainer(row)
    if not row.text("quant"):
        return replace(base, reading="reserved")
    states = States(trained_bytes=4, frozen_upcast=True)
    return replace(base, practice=replace(base.practice, residual_bytes=4), adapter_states=states, reading="reserved")


def prime(row: Row) -> Habits:
    """prime-rl: FSDP 2, everything stored in float32 (optimization_dtype), the frozen base too, 16-bit compute.

    Reinforcement learning scores over chunks of the vocabulary. Supervised tuning has all logits in float32, and its
    outputs stay alive in a dictionary during backward: 4 V beside the 12 V of log-softmax and the two gradients.
    An adapter has four slots with weights and gradients, of which the one in use has moments.
    """
    supervised = "sft" in row.text("method")
    slots = States(trained_bytes=4, moment_bytes=2.0, frozen_upcast=True)
    offloads = "offload" in row.text("grad_ckpt")
    practice = Practice(checkpoints_in_ram=offloads, logit_bytes=16.0, merges_experts=False)
    return Habits(
        practice=practice, states=States(trained_bytes=4), adapter_states=slots,
        loss="full" if supervised else "liger", reading="reserved", rank=16, slots=4, targets="all linear",
        micro_batch=1, attention="flash_attention_2", packs=True, expandable=True,
    )  # fmt: skip


def torchtitan(row: Row) -> Habits:
    """torchtitan: FSDP 2, float32 shards, expandable segments; its logits are dropped before backward."""
    practice = Practice(logit_bytes=12.0, keeps_products="selective" in row.text("grad_ckpt"))
    return Habits(practice=practice, states=States(trained_bytes=4), reading="reserved",
                  attention="flash_attention_2", packs=True, expandable=True)  # fmt: skip


def qwen(row: Row) -> Habits:
    """Qwen's finetune.py: transformers' Trainer of 2023 with the model's own code, whose loss shifts 16-bit logits.

    Alone and with LoRA it runs under autocast, which gives the loss float32. Full tuning and GPTQ bases run under
    DeepSpeed in 16 bits, loss included: logits, shifted logits and log-softmax of 2 V each.
    """
    full, devices = row.text("method") == "full", row.whole("n_gpus") or 1
    practice = Practice(logit_bytes=6.0 if full or row.text("zero_stage") else 12.0)
    stage = (3 if devices > 1 else 2) if full else None
    return replace(
        trainer(row), practice=practice, reading="device", micro_batch=1, rank=64, dropout=0.05, stage=stage,
        unit=1e9, bucket=200_000_000,
    )  # fmt: skip


def unsloth(row: Row) -> Habits:
    """unsloth's tables of December 2023: figures of torch's reserved memory."""
    return replace(trainer(row), reading="reserved")


def axolotl(row: Row) -> Habits:
    """axolotl: transformers' Trainer; its log prints torch's memory. Under FSDP accelerate trains in float32."""
    loss = "liger" if "cutcrossentropy" in row.text("kernels") else "full"
    states = States(trained_bytes=4 if "fsdp" in row.text("parallelism") else 2)
    return replace(trainer(row), states=states, reading="reserved", loss=loss, packs=True)


_PROGRAMS: tuple[tuple[str, Callable[[Row], Habits]], ...] = (
    ("fms-", fms),
    ("custom loop", peft_loop),
    ("custom transformer", own_transformer),
    ("litgpt", litgpt),
    ("torchtune", torchtune),
    ("torchao", torchao),
    ("trl sfttrainer", trl),
    ("fsdp_qlora", fsdp_qlora),
    ("ms-swift", swift),
    ("prime-rl", prime),
    ("torchtitan", torchtitan),
    ("qwen finetune", qwen),
    ("unsloth", unsloth),
    ("axolotl", axolotl),
)
