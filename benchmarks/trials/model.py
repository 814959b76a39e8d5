"""Run as a process: write a model of random weights and its tokenizer. Rows are written by whoever imports this.

Arguments: the folder, config.json as text. The weights are bf16 and small, so that no loss overflows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.tiny import write_tokenizer


def write_model(folder: Path, config: dict[str, Any]) -> None:
    """The model and its tokenizer, as any model folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="2GB")
    write_tokenizer(folder)


def write_rows(path: Path, *, count: int, length: int) -> None:
    """Plain text, the same in every row but for its number, and of more than `length` tokens: a word is one at least.

    No more rows than needed: what tokenising takes of RAM is not what is measured.
    """
    sentence = "The red house stands on a green stone near the blue river."
    words = " ".join([sentence] * (length // 11 + 1))
    path.write_text("".join(json.dumps({"text": f"Row {row}. {words}"}) + "\n" for row in range(count)))


if __name__ == "__main__":
    write_model(Path(sys.argv[1]), json.loads(sys.argv[2]))
