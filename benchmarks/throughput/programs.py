"""Habits of the programs that published speeds come from, each as a value of its own with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from accuracy.rows import Row

from tunekit.speed.habits import Habits

FIRST_FLASH = 0.5
"""Kernels of the first generation reach about half of FlashAttention-2's rate (its paper, figure 5)."""
EAGER_GPTQ = 23.5
"""Bytes per weight that AutoGPTQ's unpacking moves in torch kernels, counted one by one.

Shift to 32 bits (4.5), cast to 8 (5), mask (2), zeros (1.5) and scales (2.5) by index, difference (3), product (5).
"""
TREE_ON_A100 = 12.0
"""bitsandbytes up to 0.43 finds each value by branches: 6 to 8 ms per 1e9 weights on A100, as 12 bytes would take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How a program trains where its table does not say."""

    habits: Habits = Habits()
    rank: int = 16
    targets: str = "all linear"
    dropout: float = 0.0
    checkpointing: bool = True
    attention: str = "sdpa"
    chunked_loss: bool = False
    stage: int = 0
    """ZeRO stage that its own way of sharing states is like, where the table is silent."""
    outside: float = 0.0
    """Seconds a step of its own tests of the model."""


def program_of(row: Row) -> Program:
    """The program of a row; transformers' Trainer where it is none of those known."""
    name = row.text("framework")
    found = next((make for key, make in _PROGRAMS if key in name), trainer)
    return _on_card(row, found(row))


def _on_card(row: Row, program: Program) -> Program:
    old = "bnb" in row.text("quant") and "a100" in row.text("gpu")
    return replace(program, habits=replace(program.habits, dequant_bytes=TREE_ON_A100)) if old else program


def trainer(_row: Row) -> Program:
    """transformers' Trainer with PEFT, everything eager."""
    return Program()


def fsdp_qlora(_row: Row) -> Program:
    """Answer.AI's fsdp_qlora (train.py): rank 64 with dropout 0.1 on six modules, transformers' Llama."""
    return Program(rank=64, dropout=0.1, targets="q, k, v, gate, up, down")


def qwen(row: Row) -> Program:
    """Qwen's finetune.py: rank 64, dropout 0.05, code of its own with FlashAttention-2; GPTQ in AutoGPTQ's kernels."""
    gptq = Habits(dequant_bytes=EAGER_GPTQ, unpack_kernels=12)
    habits = gptq if "gptq" in row.text("quant") else Habits()
    return Program(habits=habits, rank=64, dropout=0.05, attention="flash_attention_2")


def foundry(row: Row) -> Program:
    """llm-foundry: MPT with 16-bit layer norms, learned positions, Triton's flash attention; submit_benchmarks.py.

    Composer's mixed precision under autocast (amp) adds gradients up in float32.
    """
    width = 4 if "amp" in row.text("precision") else None
    return Program(habits=Habits(rotary_bytes=0, attention_share=FIRST_FLASH, reduce_bytes=width), stage=3)


def automodel(_row: Row) -> Program:
    """NeMo AutoModel: Transformer Engine's and Triton's kernels, no recomputation, a fused loss."""
    return Program(
        habits=Habits(fused=True, attention_share=1.5, adapter_bytes=2),
        checkpointing=False,
        chunked_loss=True,
        attention="flash_attention_2",
    )


def torchtune(_row: Row) -> Program:
    """torchtune: torch.compile, loss over chunks, rank 8 on attention, and the recipes' recomputation."""
    habits = Habits(fused=True, launches=0.5)
    return Program(habits=habits, rank=8, targets="q, v, o", chunked_loss=True)


def litgpt(_row: Row) -> Program:
    """litgpt: its own model, LoRA on q and v of the fused projection."""
    return Program(rank=8, targets="q, v", dropout=0.05, checkpointing=False)


TEST_ROWS, TEST_BATCH, TEST_LENGTH = 1319, 51, 500
"""GSM8K's test set in batches. The length is assumed: a batch writes until its longest answer ends or reaches 768."""
DECODE_SECONDS = 0.020
"""One token of 28 layers, bound by issuing about 1,300 kernels; assumed, not measured."""
STEPS = 5000


def method_comparison(_row: Row) -> Program:
    """PEFT's method_comparison/MetaMathQA/run.py: its train time holds the test at the end; adapters in float32."""
    outside = -(-TEST_ROWS // TEST_BATCH) * TEST_LENGTH * DECODE_SECONDS / STEPS
    return Program(habits=Habits(adapter_bytes=4), rank=32, targets="q, v", checkpointing=False, outside=outside)


_PROGRAMS: tuple[tuple[str, Callable[[Row], Program]], ...] = (
    ("fsdp_qlora", fsdp_qlora),
    ("llm-foundry", foundry),
    ("automodel", automodel),
    ("torchtune", torchtune),
    ("litgpt", litgpt),
    ("peft 0.", method_comparison),
    ("hf trainer", qwen),
)
