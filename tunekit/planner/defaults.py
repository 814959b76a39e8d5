"""The answers that need no search: adapter, quantisation, precision, attention, packing, optimizer, learning rate.

Each function takes the recipe (and what it must know of model and machine) and gives an `Answer`: the user's own value,
or ours with its reason. The figures come from the peers' shipped recipes and from published measurements.
"""

from __future__ import annotations

from typing import Literal

from tunekit.hardware.spec import Hardware
from tunekit.model_shape.adapters import resolve_target_modules
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.answer import Answer, decided, written
from tunekit.planner.plan import Decision
from tunekit.planner.rules import BF16_CAPABILITY
from tunekit.recipe.job import Accelerator, Adapter, Quantization
from tunekit.recipe.schema import Attention, DataSection, MethodSection, Optimizer, Precision, Recipe
from tunekit.units import MIB, format_bytes, format_count

Loss = Literal["chunked", "full"]

DEFAULT_RANK = 16
SMALL_QLORA_PARAMETERS = 14_999_999_999
"""QLoRA learns with 2e-4 up to the 14B models (Qwen2.5-14B has 14.8e9 parameters), with 1e-4 above."""
MASK_BYTES = 3
"""Bytes per pair of tokens in sdpa: 1 of the mask, 2 of the bias the kernel makes of it (`memory.activations`)."""
PACKED_SDPA_TOKENS = 8192
"""Packed tokens per device up to which sdpa's dense mask stays at 192 MiB or less."""
LOGIT_BYTES = 12
"""Bytes per token and vocabulary entry at the peak of a full loss (transformers 5.23 ForCausalLMLoss, backward)."""
CPU_LOGIT_LIMIT = 512 * MIB
EAGER_FAMILIES = ("gemma2",)
"""Families whose attention scores are soft-capped, which sdpa cannot do."""


def accelerator_of(hardware: Hardware) -> Accelerator:
    """`cuda` where there are cards, else `cpu`."""
    return "cuda" if hardware.gpus else "cpu"


def answer_adapter(method: MethodSection, shape: ModelShape) -> tuple[Adapter | None, tuple[Decision, ...]]:
    """LoRA as it will be built; None for full fine-tuning. Raises RecipeError for unknown target modules."""
    if method.kind == "full":
        return None, ()
    rank = _answer_rank(method)
    alpha = _answer_alpha(method, rank.value)
    targets = _answer_targets(method, shape)
    adapter = Adapter(
        rank=rank.value,
        alpha=alpha.value,
        dropout=method.dropout,
        target_modules=targets.value,
        modules_to_save=method.modules_to_save,
        use_rslora=method.use_rslora,
    )
    return adapter, tuple(answer.decision for answer in (rank, alpha, targets) if answer.decision)


def _answer_rank(method: MethodSection) -> Answer[int]:
    if method.rank is not None:
        return written(method.rank)
    return decided("method.rank", DEFAULT_RANK, "the field's middle; rank costs little time and memory")


def _answer_alpha(method: MethodSection, rank: int) -> Answer[int]:
    if method.alpha is not None:
        return written(method.alpha)
    return decided("method.alpha", 2 * rank, f"2 x rank {rank}: the adapter's output is scaled by 2")


def _answer_targets(method: MethodSection, shape: ModelShape) -> Answer[tuple[str, ...]]:
    modules = resolve_target_modules(shape, method.target_modules)
    if not isinstance(method.target_modules, str):
        return written(modules)
    return decided("method.target_modules", modules, f"{method.target_modules} of {shape.family}")


def answer_quantization(method: MethodSection) -> Quantization | None:
    """The quantised base of QLoRA; None for the other methods. LLM.int8 has no scales that could be quantised."""
    if method.kind != "qlora":
        return None
    double = method.double_quant and method.quantization != "int8"
    return Quantization(kind=method.quantization, double_quant=double)


def answer_precision(wanted: Precision | None, hardware: Hardware) -> Answer[Precision]:
    """bf16 wherever the machine can, fp16 on older cards."""
    key = "train.precision"
    if wanted is not None:
        return written(wanted)
    if not hardware.gpus:
        return decided(key, "bf16", "the CPU computes it, and memory and numerics stay those of the cards")
    weakest = min(gpu.compute_capability for gpu in hardware.gpus)
    if weakest < BF16_CAPABILITY:
        reason = f"compute capability {weakest} has no bf16 (needs {BF16_CAPABILITY})"
        return decided(key, "fp16", reason, rejected=("bf16: not supported by the card",))
    reason = "needs no loss scaling, half the bytes of fp32"
    return decided(key, "bf16", reason, rejected=("fp16: overflows in models trained in bf16", "fp32: twice the bytes"))


def answer_attention(wanted: Attention | None, shape: ModelShape) -> Answer[Attention]:
    """sdpa, or eager where the model needs it; flash_attention_2 only when the user asks for it."""
    key = "model.attention"
    if wanted is not None:
        return written(wanted)
    if shape.family in EAGER_FAMILIES:
        return decided(key, "eager", f"{shape.family} caps its attention scores, which sdpa cannot")
    alternatives = ("flash_attention_2: a package to build; write it if it is installed", "eager: scores in memory")
    return decided(key, "sdpa", "part of torch, and uses flash kernels where it can", rejected=alternatives)


def answer_optimizer(wanted: Optimizer | None) -> Answer[Optimizer]:
    """AdamW unless asked otherwise."""
    if wanted is not None:
        return written(wanted)
    rejected = ("adamw_8bit: a quarter of the state bytes, not with offload_optimizer",)
    return decided("train.optimizer", "adamw", "what models of this kind are trained with", rejected=rejected)


def answer_learning_rate(recipe: Recipe, shape: ModelShape) -> Answer[float]:
    """1e-5 full, 1e-4 lora, 2e-4 qlora up to 14B parameters and 1e-4 above: the consensus of peers' recipes."""
    key, kind = "train.learning_rate", recipe.method.kind
    if recipe.train.learning_rate is not None:
        return written(recipe.train.learning_rate)
    if kind == "full":
        return decided(key, 1e-5, "usual when every weight moves")
    if kind == "lora":
        return decided(key, 1e-4, "usual for LoRA; ten times that of full fine-tuning")
    size = format_count(shape.num_parameters)
    if shape.num_parameters <= SMALL_QLORA_PARAMETERS:
        return decided(key, 2e-4, f"usual for QLoRA up to 14B parameters (this model: {size})")
    return decided(key, 1e-4, f"usual for QLoRA above 14B parameters (this model: {size})")


def answer_packing(recipe: Recipe, attention: Attention, accelerator: Accelerator, tokens: int) -> Answer[bool]:
    """On where samples stay apart at little cost. `tokens` are those of one micro-batch on one device."""
    key = "data.packing"
    if recipe.data.packing is not None:
        return written(recipe.data.packing)
    if attention == "flash_attention_2":
        return decided(key, True, "flash attention keeps packed samples apart for free; no token is padding")
    if attention == "eager":
        return decided(key, False, "eager attention would score every packed sample against all others")
    if accelerator == "cpu":
        return decided(key, False, "a CPU is busy with one sample; packed, each would pay for its neighbours' mask")
    mask = f"{format_bytes(MASK_BYTES * tokens * tokens)} ({MASK_BYTES} B x {tokens:,} x {tokens:,} tokens)"
    if tokens > PACKED_SDPA_TOKENS:
        return decided(key, False, f"the mask that keeps the samples of a row apart in sdpa would take {mask}")
    reason = f"no padding; the mask that keeps the samples of a row apart in sdpa takes {mask}"
    return decided(key, True, reason, rejected=("off: short samples leave the card half idle",))


def answer_completion_only_loss(data: DataSection) -> Answer[bool]:
    """Answers only, wherever the format has answers."""
    key = "data.completion_only_loss"
    if data.completion_only_loss is not None:
        return written(data.completion_only_loss)
    if data.format == "text":
        return decided(key, False, "plain text holds no answers to tell apart")
    return decided(key, True, "questions are read but not learned; plain text, without answers, is learned whole")


def answer_loss(recipe: Recipe, shape: ModelShape, hardware: Hardware, tokens: int) -> Answer[Loss]:
    """Full where all logits of a micro-batch are small beside the memory, chunked elsewhere."""
    key = "train.loss"
    if recipe.train.loss is not None:
        return written(recipe.train.loss)
    logits = LOGIT_BYTES * tokens * shape.vocab_size
    limit, place = _logit_limit(hardware)
    sizes = f"{LOGIT_BYTES} B x {tokens:,} tokens x {shape.vocab_size:,} vocabulary = {format_bytes(logits)}"
    if logits <= limit:
        return decided(key, "full", f"{sizes}, under {format_bytes(limit)} ({place}): chunks would only cost time")
    return decided(key, "chunked", "never holds all logits", rejected=(f"full: {sizes}",))


def _logit_limit(hardware: Hardware) -> tuple[int, str]:
    if not hardware.gpus:
        return CPU_LOGIT_LIMIT, "small beside RAM"
    card = min(gpu.usable_bytes for gpu in hardware.gpus)
    return card * 3 // 100, "3 % of the card"
