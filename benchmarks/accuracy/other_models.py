"""Models of published measurements that the catalogue does not have, as `config.json` keys of a family with their code.

`fused_qkv`: one matrix for q, k and v. `no_gate`: a feed-forward part of two matrices. `code`: the family of its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _config(family: str, layers: int, hidden: int, heads: int, ffn: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": family,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": more.pop("kv_heads", heads),
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "tie_word_embeddings": more.pop("tied", False),
        **more,
    }


_QWEN: dict[str, Any] = {"fused_qkv": True}
_GLM: dict[str, Any] = {"kv_heads": 2, "fused_qkv": True}

OTHER_MODELS: Mapping[str, Mapping[str, Any]] = {
    "Qwen/Qwen-1.8B": _config("qwen2", 24, 2048, 16, 5504, 151936, **_QWEN),
    "Qwen/Qwen-1_8B": _config("qwen2", 24, 2048, 16, 5504, 151936, **_QWEN),
    "Qwen/Qwen-7B": _config("qwen2", 32, 4096, 32, 11008, 151936, **_QWEN),
    "Qwen/Qwen-14B": _config("qwen2", 40, 5120, 40, 13696, 152064, **_QWEN),
    "Qwen/Qwen-72B": _config("qwen2", 80, 8192, 64, 24576, 152064, **_QWEN),
    "Qwen/Qwen1.5-32B": _config("qwen2", 64, 5120, 40, 27392, 152064, kv_heads=8),
    "Qwen/Qwen1.5-72B": _config("qwen2", 80, 8192, 64, 24576, 152064),
    "THUDM/chatglm2-6b": _config("qwen2", 28, 4096, 32, 13696, 65024, **_GLM),
    "THUDM/chatglm2-6b-32k": _config("qwen2", 28, 4096, 32, 13696, 65024, **_GLM),
    "THUDM/chatglm3-6b": _config("qwen2", 28, 4096, 32, 13696, 65024, **_GLM),
    "THUDM/chatglm3-6b-32k": _config("qwen2", 28, 4096, 32, 13696, 65024, **_GLM),
    "THUDM/ChatGLM-6B": _config("llama", 28, 4096, 32, 16384, 130528, tied=True, no_gate=True, fused_qkv=True),
    "THUDM/GLM-4-9B": _config("qwen2", 40, 4096, 32, 13696, 151552, **_GLM),
    "ZhipuAI/GLM-4-9B-0414": _config("qwen2", 40, 4096, 32, 13696, 151552, **_GLM),
    "baichuan-inc/Baichuan-7B": _config("llama", 32, 4096, 32, 11008, 64000, fused_qkv=True),
    "Skywork/Skywork-13B": _config("llama", 52, 4608, 36, 12288, 65519),
    "baichuan-inc/Baichuan2-7B": _config("llama", 32, 4096, 32, 11008, 125696, fused_qkv=True),
    "baichuan-inc/Baichuan2-13B": _config("llama", 40, 5120, 40, 13696, 125696, fused_qkv=True),
    "internlm/internlm-7b": _config("llama", 32, 4096, 32, 11008, 103168),
    "internlm/internlm-20b": _config("llama", 60, 5120, 40, 13824, 103168),
    "internlm/internlm2-20b": _config("llama", 48, 6144, 48, 16384, 92544, kv_heads=8, fused_qkv=True),
    "internlm/internlm2-7b": _config("llama", 32, 4096, 32, 14336, 92544, kv_heads=8, fused_qkv=True),
    "xverse/XVERSE-7B": _config("llama", 32, 4096, 32, 10928, 100534),
    "xverse/XVERSE-65B": _config("llama", 80, 8192, 64, 22016, 100534),
    "xverse/XVERSE-13B": _config("llama", 40, 5120, 40, 13824, 100534),
    "HuggingFaceH4/zephyr-7b": _config("mistral", 32, 4096, 32, 14336, 32000, kv_heads=8),
    "HuggingFaceTB/SmolLM3-3B": _config("llama", 36, 2048, 16, 11008, 128256, kv_heads=4, tied=True),
    "OpenBuddy/openbuddy-llama2-13b": _config("llama", 40, 5120, 40, 13824, 37632),
    "OpenBuddy/openbuddy-llama2-70b": _config("llama", 80, 8192, 64, 28672, 37632, kv_heads=8),
    "OpenBuddy/openbuddy-zephyr-7b": _config("mistral", 32, 4096, 32, 14336, 36608, kv_heads=8),
    "OpenBuddy/openbuddy-mistral-7b": _config("mistral", 32, 4096, 32, 14336, 36608, kv_heads=8),
    "ibm/PowerLM-3b": _config("llama", 40, 2304, 36, 9216, 49152, tied=True),
    "ibm-granite/granite-4.0-micro": _config("llama", 40, 2560, 40, 8192, 100352, kv_heads=8, tied=True),
    "ibm-granite/granite-3.0-8b": _config("llama", 40, 4096, 32, 12800, 49155, kv_heads=8, tied=True),
    "bigcode/gpt_bigcode-santacoder": _config(
        "llama",
        24,
        2048,
        16,
        8192,
        49280,
        kv_heads=1,
        tied=True,
        no_gate=True,
        fused_qkv=True,
        code="gpt_neox",
        learned_positions=2048,
        max_position_embeddings=2048,
    ),
    "bigcode/starcoder": _config(
        "llama",
        40,
        6144,
        48,
        24576,
        49152,
        kv_heads=1,
        tied=True,
        no_gate=True,
        fused_qkv=True,
        code="gpt_neox",
        learned_positions=8192,
        max_position_embeddings=8192,
    ),  # fmt: skip
    "bigscience/bloomz-7b1": _config(
        "llama", 30, 4096, 32, 16384, 250880, tied=True, no_gate=True, fused_qkv=True, code="gpt_neox"
    ),
    "XiaomiMiMo/MiMo-7B": _config("qwen2", 36, 4096, 32, 11008, 151680, kv_heads=8),
    "swiss-ai/Apertus-8B-2509": _config("llama", 32, 4096, 32, 21504, 131072, kv_heads=8, no_gate=True),
    "allenai/Olmo-3-7B": _config("olmo2", 32, 4096, 32, 11008, 100278),
    "tencent/Hunyuan-0.5B": _config("qwen3", 24, 1024, 16, 3584, 120818, kv_heads=8, head_dim=128, tied=True),
    "mistralai/Devstral-Small": _config("mistral", 40, 5120, 32, 32768, 131072, kv_heads=8, head_dim=128),
    "openai/gpt-oss-20b": _config(
        "mixtral", 24, 2880, 64, 2880, 201088, kv_heads=8, head_dim=64, num_local_experts=32, num_experts_per_tok=4
    ),
    "bert-large-uncased": _config(
        "llama",
        24,
        1024,
        16,
        4096,
        30522,
        tied=True,
        no_gate=True,
        code="phi",
        learned_positions=514,
        max_position_embeddings=512,
    ),
    # Its layers have 128 experts and a shared one, but for the first, which is dense.
    "PrimeIntellect/INTELLECT-3": _config(
        "qwen3_moe",
        46,
        4096,
        96,
        10944,
        151552,
        kv_heads=8,
        head_dim=128,
        num_experts=129,
        num_experts_per_tok=9,
        moe_intermediate_size=1408,
    ),
    "mistralai/Magistral-Small": _config("mistral", 40, 5120, 32, 32768, 131072, kv_heads=8, head_dim=128),
    "arcee-ai/AFM-4.5B": _config("llama", 36, 2560, 20, 18432, 128004, kv_heads=4, head_dim=128, no_gate=True),
    "ByteDance-Seed/Seed-OSS-36B": _config("qwen2", 64, 5120, 80, 27648, 155136, kv_heads=8, head_dim=128),
    "swiss-ai/Apertus-70B-2509": _config("llama", 80, 8192, 64, 43008, 131072, kv_heads=8, no_gate=True),
    "Llama2-1B": _config("llama", 22, 2048, 32, 5632, 32000, kv_heads=4),
    "LLaMA-33B": _config("llama", 60, 6656, 52, 17920, 32000),
    "LLaMA-7B": _config("llama", 32, 4096, 32, 11008, 32000),
    "7B Llama-class": _config("llama", 32, 4096, 32, 11008, 32000),
}

ALIASES: Mapping[str, str] = {
    "mixtral-moe-7b": "mistralai/Mixtral-8x7B-v0.1",
    "deepseek-7b": "deepseek-ai/deepseek-llm-7b-base",
    "deepseek-67b": "deepseek-ai/deepseek-llm-67b-base",
    "phi2-3b": "microsoft/phi-2",
    "codefuse-codellama-34b": "codellama/CodeLlama-34b-hf",
}
"""What ms-swift calls models of the catalogue."""
