"""One micro-batch as the collator makes it, with real ids, positions and masks."""

from __future__ import annotations

from typing import Any

import torch

from tunekit.memory.tracing import TraceRequest

SAMPLES_PER_ROW = 4
"""Samples in a packed row: more than one, so that they must be kept apart."""


def make_batch(request: TraceRequest) -> dict[str, Any]:
    """What the model is called with, as real tensors: every token is learned; of several rows the last is padded."""
    rows, length = request.micro_batch_size, request.max_seq_length
    return packed(rows * length, rows * SAMPLES_PER_ROW) if request.packing else padded(rows, length)


def packed(tokens: int, samples: int) -> dict[str, Any]:
    """All rows joined into one without padding, as TRL's collator does: positions start anew with every sample."""
    lengths = [part.numel() for part in torch.arange(tokens).tensor_split(min(samples, tokens))]
    starts = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    return {
        "input_ids": torch.zeros((1, tokens), dtype=torch.int64),
        "labels": torch.zeros((1, tokens), dtype=torch.int64),
        "position_ids": positions,
        "cu_seq_lens_q": starts,
        "cu_seq_lens_k": starts,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "seq_idx": torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[None].to(torch.int32),
    }


def padded(rows: int, length: int) -> dict[str, Any]:
    """Rows side by side; where there are several, one is a token shorter, so that a mask is needed."""
    mask = torch.ones((rows, length), dtype=torch.int64)
    if rows > 1:
        mask[-1, -1] = 0
    ids = torch.zeros((rows, length), dtype=torch.int64)
    return {"input_ids": ids, "labels": ids.clone(), "attention_mask": mask}
