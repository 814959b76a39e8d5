"""The replayed allocator keeps torch's rules, and no replay loses or frees a block twice."""

from __future__ import annotations

import pytest
from accuracy.allocator import CachingAllocator, OutOfMemoryError
from accuracy.program import Program
from accuracy.replay import Replay
from accuracy.reserved import runs_out
from memory_jobs import llama

from tunekit.memory.layer_code import widths
from tunekit.units import GIB, MIB


def allocator(limit: int = GIB) -> CachingAllocator:
    return CachingAllocator(limit=limit)


def test_sizes_are_rounded_and_segments_are_as_torch_cuts_them():
    memory = allocator()
    memory.take(1)
    assert (memory.allocated, memory.reserved) == (512, 2 * MIB)
    memory.take(5 * MIB)
    assert memory.reserved == 22 * MIB
    memory.take(30 * MIB + 1)
    assert memory.reserved == 54 * MIB


def test_a_freed_block_serves_again_the_smallest_that_fits_first():
    memory = allocator()
    large, small = memory.take(100 * MIB), memory.take(40 * MIB)
    memory.give(large)
    memory.give(small)
    again = memory.take(40 * MIB)
    assert again.address == small.address
    assert memory.reserved == 140 * MIB


def test_a_large_block_is_split_and_its_parts_are_merged():
    memory = allocator()
    memory.give(memory.take(100 * MIB))
    one, two = memory.take(30 * MIB), memory.take(30 * MIB)
    assert memory.reserved == 100 * MIB
    memory.give(one)
    memory.give(two)
    memory.take(100 * MIB)
    assert memory.reserved == 100 * MIB


def test_a_living_piece_keeps_a_large_tensor_out():
    memory = allocator()
    memory.give(memory.take(100 * MIB))
    memory.take(30 * MIB)
    memory.take(100 * MIB)
    assert memory.reserved == 200 * MIB


def test_free_segments_go_back_when_the_card_is_full():
    memory = allocator(limit=150 * MIB)
    memory.give(memory.take(100 * MIB))
    memory.take(120 * MIB)
    assert memory.reserved == 120 * MIB
    with pytest.raises(OutOfMemoryError):
        memory.take(60 * MIB)


def program(**changes: object) -> Program:
    shape = llama(layers=3, hidden=256, ffn=1024, vocab=4096)
    plain = {"tokens": 4096, "rows": 1, "layers": 3, "vocab": 4096, "size": widths(shape)}
    return Program(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"checkpointing": False},
        {"logits": "late"},
        {"logits": "early", "fused_loss": True},
        {"logits": "none"},
        {"scores": 4096},
        {"fused_norms": True, "repeats_values": True},
        {"residual": 4, "dequantises": True},
        {"adapted": frozenset({"q", "v", "down"}), "dropout": True},
        {"adapted": frozenset({"q", "gate"}), "wide_adapters": True, "autocast": False},
        {"full": True, "state_copies": 2.0, "step_copies": 1.0, "ends": 4096 * 256},
        {"full": True, "ranks": 2, "state_copies": 2.0, "step_copies": 1.0},
        {"holds_inputs": True, "adapted": frozenset({"q"})},
    ],
)
def test_every_tensor_of_a_replay_is_given_back(changes: dict[str, object]):
    memory = allocator(64 * GIB)
    replay = Replay(program(**changes), memory)
    replay.run()
    kept = sum(block.size for block in replay.states)
    assert memory.allocated == kept
    assert memory.peak_reserved >= memory.peak_allocated > kept


def test_more_tokens_reserve_more():
    sizes = []
    for tokens in (2048, 4096, 8192):
        memory = allocator(64 * GIB)
        Replay(program(tokens=tokens), memory).run()
        sizes.append(memory.peak_reserved)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_replay_says_whether_a_card_is_too_small():
    plain = program()
    assert not runs_out(plain, 0, 4 * 2**30)
    assert runs_out(plain, 4 * 2**30 - 2**20, 4 * 2**30)
