"""Which modules become Linear4bit, held against transformers and bitsandbytes on every family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunekit.model_shape.config_json import shape_from_config
from tunekit.model_shape.quantized import quantized_tensors

pytestmark = pytest.mark.train

TINY = json.loads((Path(__file__).parent / "tiny_configs.json").read_text(encoding="utf-8"))


def replaced_by_bitsandbytes(variant: str) -> set[str]:
    """Names of the weights that the real quantizer prepares for 4 bits, as `from_pretrained` does before loading."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from transformers.quantizers.auto import AutoHfQuantizer

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**TINY[variant]))
    quantizer = AutoHfQuantizer.from_config(transformers.BitsAndBytesConfig(load_in_4bit=True), pre_quantized=False)
    quantizer.preprocess_model(model=model, device_map={"": "cpu"})
    return {
        f"{name}.weight" for name, module in model.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)
    }


@pytest.mark.parametrize("variant", TINY)
def test_the_same_weights_are_held_in_4_bits(variant: str) -> None:
    shape = shape_from_config(TINY[variant], name=variant, source="test")
    ours = {name for tensor in quantized_tensors(shape) for name in tensor.names}
    assert ours == replaced_by_bitsandbytes(variant)
