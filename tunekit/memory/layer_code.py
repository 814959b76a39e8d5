"""What decides the activations of a layer: its widths, what its family's code saves, and what adapters reach.

The families' code is that of transformers 5.23, counted with autograd's saved-tensor hooks on small models, in bf16.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from tunekit.model_shape.adapters import adapter_tensors
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.recipe.job import Adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCode:
    """What one layer's code saves beyond its linears; bytes per element.

    `norm_frozen` and `norm_trained` are those of a norm whose weight is frozen or trained, per hidden element.
    """

    norm_frozen: int = 4
    norm_trained: int = 6
    fused_qkv: bool = False
    """Values are a view of one projection for q, k and v, which stays whole."""
    repeats_values: bool = False
    """Keys and values are copied for all heads, whatever the kernel."""
    copies_output: bool = False
    """A rotary part of the head is put together with the rest: flash's output must be copied to be read by rows."""
    parallel: bool = False
    """Attention and feed-forward read the same residual state, which one or two norms keep once."""
    always_masked: bool = False
    """A mask is made even where attention needs none."""
    activation: int = 0
    """Bytes per feed-forward element of an activation that is written out in single operations."""
    scores: int = 0
    """Bytes per score that eager attention saves beside the usual six: of a cap on the scores."""
    gradients: int = 2
    """Bytes per hidden element of gradients that are alive at the peak of the feed-forward part, with adapters."""
    norm_after: bool = False
    """A norm follows the feed-forward part: its backward comes while all of that part is still saved."""
    caps_logits: bool = False
    """A cap on the logits keeps its result."""
    counted: bool = True


RMS_NORM = LayerCode()
"""Llama and all that share its code: RMSNorm keeps a 32-bit copy of its input, and what its weight multiplies."""
_GEMMA = LayerCode(norm_trained=8)
"""A norm whose weight multiplies in 32 bits."""
_LAYER_NORM = LayerCode(norm_frozen=2, norm_trained=2)
"""torch's layer_norm keeps its 16-bit input."""
_PARALLEL = replace(_LAYER_NORM, parallel=True)
_UNKNOWN = LayerCode(counted=False)

_FAMILIES: dict[str, LayerCode] = {
    "llama": RMS_NORM,
    "mistral": RMS_NORM,
    "mixtral": RMS_NORM,
    "qwen2": RMS_NORM,
    "qwen3": RMS_NORM,
    "qwen3_moe": RMS_NORM,
    "olmo2": replace(_GEMMA, norm_after=True),
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, norm_after=True, scores=2, caps_logits=True),
    "gemma3_text": replace(_GEMMA, norm_after=True),
    "phi3": LayerCode(fused_qkv=True, copies_output=True, gradients=6),
    "olmo": LayerCode(norm_frozen=4, norm_trained=4),
    "stablelm": replace(_LAYER_NORM, copies_output=True),
    "gpt_neox": replace(_PARALLEL, fused_qkv=True, copies_output=True),
    "falcon": replace(_PARALLEL, repeats_values=True, always_masked=True),
    "phi": replace(_PARALLEL, copies_output=True, activation=6),
}


def layer_code(family: str) -> LayerCode:
    """The code of a family; the pattern of llama, marked as not counted, for one that is not in the table."""
    return _FAMILIES.get(family, _UNKNOWN)


_OF_HEADS = ("q_norm", "k_norm", "q_layernorm", "k_layernorm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """Elements per token of the parts of one layer."""

    hidden: int
    ffn: int
    queries: int
    values: int
    """Width of all key heads, and of all value heads."""
    heads: int
    norms: int
    """Norms that keep an input of their own."""
    inputs: int
    """Tensors of the hidden width that linears read: one or two."""
    head_norms: bool
    gated: bool
    experts: int
    routed: int
    """Experts per token, 0 in a dense model."""
    code: LayerCode
    masked: bool
    """A mask of S x S is made under sdpa whatever the rows are."""
    plain_attention: bool = False
    """One key head for all queries, given to sdpa as it is: only its plain kernel takes that, with all scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterReach:
    """What adapters make autograd save in one layer: whose inputs, and how many ranks and inputs in all."""

    attention_input: bool
    attention_output: bool
    mlp_input: bool
    down_input: bool
    experts: bool
    """Whether adapters are on a mixture's fused experts."""
    ranks: int
    inputs: int


@lru_cache(maxsize=512)
def widths(shape: ModelShape, *, windowed: bool = False) -> Widths:
    """The widths of a model's layers; a mixture counts its active experts.

    `windowed`: of layers whose sliding window is no longer than a row, which need a mask.
    """
    names = [each for each in shape.tensors if each.role == "norm" and "{layer}" in each.name and each.first_layer == 0]
    weights = [each.name for each in names if each.name.endswith("weight") and each.shape[-1] == shape.hidden_size]
    # Norms without weights are no tensors: two of them are taken for granted.
    norms = sum(1 for name in weights if not any(part in name for part in _OF_HEADS)) or 2
    routed = shape.experts_per_token if shape.num_experts else 0
    code = layer_code(shape.family)
    parallel = code.parallel or norms == 1
    return Widths(
        hidden=shape.hidden_size,
        ffn=shape.ffn_size * max(1, routed),
        queries=shape.num_heads * shape.head_dim,
        values=shape.num_kv_heads * shape.head_dim,
        heads=shape.num_heads,
        norms=1 if parallel else norms,
        inputs=min(2, norms),
        head_norms=any("q_norm" in each.name or "q_layernorm" in each.name for each in names),
        gated=shape.gated_mlp,
        experts=shape.num_experts,
        routed=routed,
        code=code,
        masked=code.always_masked or windowed,
        plain_attention=shape.family == "falcon" and shape.num_kv_heads < shape.num_heads and norms == 1,
    )


@lru_cache(maxsize=512)
def adapter_reach(shape: ModelShape, adapter: Adapter | None) -> AdapterReach:
    """Which inputs the adapters of the first layer keep alive. The output projection's input is saved anyway."""
    inner = [each for each in (adapter_tensors(shape, adapter) if adapter else ()) if "{layer}" in each.name]
    sides = [each for each in inner if _is_first_side(each) and ".experts." not in each.name]
    attention = [each for each in sides if "attn" in each.name or "attention" in each.name]
    other = [each for each in sides if each not in attention]
    return AdapterReach(
        attention_input=any(not _is_output(each) for each in attention),
        attention_output=any(_is_output(each) for each in attention),
        mlp_input=any(not _is_down(each) for each in other),
        down_input=any(_is_down(each) for each in other),
        experts=any(".experts." in each.name for each in inner),
        ranks=sum(each.shape[-2] for each in sides),
        inputs=sum(each.shape[-1] for each in sides),
    )


def _is_first_side(tensor: ParameterTensor) -> bool:
    return "lora_A" in tensor.name and tensor.first_layer == 0


def _is_down(tensor: ParameterTensor) -> bool:
    return any(name in tensor.name for name in ("down_proj.", "dense_4h_to_h.", "fc2.", "w2."))


def _is_output(tensor: ParameterTensor) -> bool:
    return any(name in tensor.name for name in ("o_proj.", "attention.dense.", "attn.dense.", "out_proj."))
