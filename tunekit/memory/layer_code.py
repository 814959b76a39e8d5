"""What decides the activations of a layer: its widths, what its family's code saves, and what adapters reach.

The families' code is that of transformers 5.23, counted with autograd's saved-tensor hooks on small models, in bf16.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tunekit.model_shape.adapters import adapter_tensors
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.recipe.job import Adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCode:
    """Bytes that one layer's code saves: per norm and hidden element, and what it adds to the attention.

    `norm_frozen` and `norm_trained` are those of a norm whose weight is frozen or trained. `fused_qkv`: values are a
    view of the fused projection, which stays whole. `repeats_values`: keys and values are expanded to all heads.
    `masks`: bytes per hidden element of dropout masks, which exist even at probability 0.
    """

    norm_frozen: int = 4
    norm_trained: int = 6
    fused_qkv: bool = False
    repeats_values: bool = False
    masks: int = 0
    counted: bool = True


RMS_NORM = LayerCode()
"""Llama and all that share its code: RMSNorm keeps a 32-bit copy of its input, and what its weight multiplies."""
_LAYER_NORM = LayerCode(norm_frozen=2, norm_trained=2)
"""torch's layer_norm keeps its 16-bit input."""
_UNKNOWN = LayerCode(counted=False)

_FAMILIES: dict[str, LayerCode] = {
    "llama": RMS_NORM,
    "mistral": RMS_NORM,
    "mixtral": RMS_NORM,
    "qwen2": RMS_NORM,
    "qwen3": RMS_NORM,
    "qwen3_moe": RMS_NORM,
    "olmo2": RMS_NORM,
    "gemma": LayerCode(norm_trained=8),
    "gemma2": LayerCode(norm_trained=8),
    "gemma3_text": LayerCode(norm_trained=8),
    "phi3": LayerCode(fused_qkv=True, masks=2),
    "olmo": LayerCode(norm_frozen=4, norm_trained=4),
    "stablelm": LayerCode(norm_frozen=2, norm_trained=2, masks=2),
    "gpt_neox": LayerCode(norm_frozen=2, norm_trained=2, fused_qkv=True),
    "falcon": LayerCode(norm_frozen=2, norm_trained=2, fused_qkv=True, repeats_values=True, masks=2),
    "phi": _LAYER_NORM,
}


def layer_code(family: str) -> LayerCode:
    """The code of a family; the pattern of llama, marked as not counted, for one that is not in the table."""
    return _FAMILIES.get(family, _UNKNOWN)


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
    head_norms: bool
    gated: bool
    experts: int
    routed: int
    """Experts per token, 0 in a dense model."""
    code: LayerCode


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterReach:
    """What adapters make autograd save in one layer: whose inputs, and how many ranks and inputs in all."""

    attention_input: bool
    mlp_input: bool
    down_input: bool
    experts: bool
    """Whether adapters are on a mixture's fused experts."""
    ranks: int
    inputs: int


@lru_cache(maxsize=512)
def widths(shape: ModelShape) -> Widths:
    """The widths of a model's layers; a mixture counts its active experts."""
    names = [each for each in shape.tensors if each.role == "norm" and "{layer}" in each.name and each.first_layer == 0]
    norms = sum(1 for each in names if each.shape[-1] == shape.hidden_size and each.name.endswith("weight"))
    routed = shape.experts_per_token if shape.num_experts else 0
    return Widths(
        hidden=shape.hidden_size,
        ffn=shape.ffn_size * max(1, routed),
        queries=shape.num_heads * shape.head_dim,
        values=shape.num_kv_heads * shape.head_dim,
        heads=shape.num_heads,
        norms=max(2, norms) if shape.family != "falcon" else max(1, norms),
        head_norms=any("q_norm" in each.name for each in names),
        gated=shape.gated_mlp,
        experts=shape.num_experts,
        routed=routed,
        code=layer_code(shape.family),
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
    return any(name in tensor.name for name in ("o_proj.", "attention.dense.", "out_proj."))
