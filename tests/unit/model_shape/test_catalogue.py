"""The shipped catalogue: what it knows, how it is asked, and totals that the models' owners published."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tunekit.model_shape import catalogue
from tunekit.model_shape.families import FAMILIES

# Totals as published: (hub) the parameter count the hub shows for the safetensors files, (card) the model card's
# table, (paper) the report of the model. They were not computed with tunekit.
PUBLISHED = {
    "meta-llama/Llama-2-7b-hf": (6_738_415_616, "hub"),
    "meta-llama/Llama-2-13b-hf": (13_015_864_320, "hub"),
    "meta-llama/Llama-2-70b-hf": (68_976_648_192, "hub"),
    "meta-llama/Meta-Llama-3-70B": (70_553_706_496, "hub"),
    "meta-llama/Llama-3.1-8B": (8_030_261_248, "hub"),
    "meta-llama/Llama-3.1-405B": (405_853_388_800, "hub"),
    "meta-llama/Llama-3.2-1B": (1_235_814_400, "hub"),
    "meta-llama/Llama-3.2-3B": (3_212_749_824, "hub"),
    "codellama/CodeLlama-7b-hf": (6_738_546_688, "hub"),
    "codellama/CodeLlama-13b-hf": (13_016_028_160, "hub"),
    "codellama/CodeLlama-34b-hf": (33_743_970_304, "hub"),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": (1_100_048_384, "hub"),
    "HuggingFaceTB/SmolLM2-135M": (134_515_008, "hub"),
    "HuggingFaceTB/SmolLM2-360M": (361_821_120, "hub"),
    "HuggingFaceTB/SmolLM2-1.7B": (1_711_376_384, "hub"),
    "mistralai/Mistral-7B-v0.1": (7_241_732_096, "hub"),
    "mistralai/Mistral-7B-v0.3": (7_248_023_552, "hub"),
    "mistralai/Mistral-Nemo-Base-2407": (12_247_782_400, "hub"),
    "mistralai/Mistral-Small-24B-Base-2501": (23_572_403_200, "hub"),
    "mistralai/Mistral-Large-Instruct-2407": (122_610_069_504, "hub"),
    "mistralai/Mixtral-8x7B-v0.1": (46_702_792_704, "hub"),
    "Qwen/Qwen2.5-0.5B": (494_032_768, "hub"),
    "Qwen/Qwen2.5-1.5B": (1_543_714_304, "hub"),
    "Qwen/Qwen2.5-3B": (3_085_938_688, "hub"),
    "Qwen/Qwen2.5-7B": (7_615_616_512, "hub"),
    "Qwen/Qwen2.5-14B": (14_770_033_664, "hub"),
    "Qwen/Qwen2.5-32B": (32_763_876_352, "hub"),
    "Qwen/Qwen2.5-72B": (72_706_203_648, "hub"),
    "Qwen/Qwen1.5-7B": (7_721_324_544, "hub"),
    "Qwen/Qwen3-4B": (4_022_468_096, "hub"),
    "Qwen/Qwen3-8B": (8_190_735_360, "hub"),
    "Qwen/Qwen3-14B": (14_768_307_200, "hub"),
    "Qwen/Qwen3-32B": (32_762_123_264, "hub"),
    "Qwen/Qwen3-30B-A3B": (30_532_122_624, "hub"),
    "Qwen/Qwen3-235B-A22B": (235_093_634_560, "hub"),
    "google/gemma-2b": (2_506_172_416, "hub"),
    "google/gemma-7b": (8_537_680_896, "hub"),
    "google/gemma-2-2b": (2_614_341_888, "hub"),
    "google/gemma-2-9b": (9_241_705_984, "hub"),
    "google/gemma-2-27b": (27_227_128_320, "hub"),
    "google/gemma-3-1b-it": (999_885_952, "hub"),
    "microsoft/phi-1_5": (1_418_270_720, "hub"),
    "microsoft/phi-2": (2_779_683_840, "hub"),
    "microsoft/Phi-3-mini-4k-instruct": (3_821_079_552, "hub"),
    "microsoft/Phi-3-medium-4k-instruct": (13_960_238_080, "hub"),
    "microsoft/phi-4": (14_659_507_200, "hub"),
    "EleutherAI/pythia-70m": (70_426_624, "card"),
    "EleutherAI/pythia-160m": (162_322_944, "card"),
    "EleutherAI/pythia-410m": (405_334_016, "card"),
    "EleutherAI/pythia-1b": (1_011_781_632, "card"),
    "EleutherAI/pythia-1.4b": (1_414_647_808, "card"),
    "EleutherAI/pythia-2.8b": (2_775_208_960, "card"),
    "EleutherAI/pythia-6.9b": (6_857_302_016, "card"),
    "EleutherAI/pythia-12b": (11_846_072_320, "card"),
    "EleutherAI/gpt-neox-20b": (20_554_567_680, "card"),
    "stabilityai/stablelm-3b-4e1t": (2_795_443_200, "card"),
    "stabilityai/stable-code-3b": (2_795_443_200, "card"),
    "allenai/OLMo-1B-hf": (1_176_764_416, "hub"),
    "allenai/OLMo-7B-hf": (6_888_095_744, "hub"),
    "allenai/OLMo-2-1124-7B": (7_298_617_344, "hub"),
    "upstage/SOLAR-10.7B-v1.0": (10_731_524_096, "hub"),
    "01-ai/Yi-34B": (34_388_917_248, "hub"),
}

# The hub counts the head that these files hold a second time; transformers ties it to the embedding.
PUBLISHED_WITH_STORED_HEAD = {
    "tiiuae/falcon-7b": 7_217_189_760,
    "tiiuae/falcon-180B": 179_522_565_120,
    "Qwen/Qwen3-0.6B": 751_632_384,
    "Qwen/Qwen3-1.7B": 2_031_739_904,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_totals_equal_the_published_ones(name: str) -> None:
    shape = catalogue.find(name)
    assert shape is not None
    assert shape.num_parameters == PUBLISHED[name][0]


@pytest.mark.parametrize("name", PUBLISHED_WITH_STORED_HEAD)
def test_totals_with_a_stored_tied_head(name: str) -> None:
    shape = catalogue.find(name)
    assert shape is not None
    assert shape.tied_embeddings
    assert shape.num_parameters + shape.count("embedding") == PUBLISHED_WITH_STORED_HEAD[name]


def test_it_holds_enough_models_of_every_family() -> None:
    names = catalogue.names()
    assert len(names) >= 300
    assert len({name.lower() for name in names}) == len(names)
    assert {shape.family for name in names if (shape := catalogue.find(name))} == set(FAMILIES)


def test_every_record_says_where_it_is_from() -> None:
    for record in catalogue._data():
        assert record["source"].startswith("the model's config.json"), record["names"]


@pytest.mark.parametrize(
    "name", ["meta-llama/Meta-Llama-3.1-8B", "META-LLAMA/llama-3.1-8b", "unsloth/Meta-Llama-3.1-8B"]
)
def test_case_and_renaming_do_not_matter(name: str) -> None:
    shape, same = catalogue.find(name), catalogue.find("meta-llama/Llama-3.1-8B")
    assert shape is not None
    assert same is not None
    assert (shape.name, shape.source) == (name, "catalogue")
    assert shape.tensors == same.tensors


def test_what_it_does_not_know_is_none() -> None:
    assert catalogue.find("acme/unknown") is None
    assert catalogue.config_of("acme/unknown") is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("meta-lama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("qwen2.5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("codellama/CodeLlama-34b", "codellama/CodeLlama-34b-hf"),
    ],
)
def test_nearest_names(asked: str, expected: str) -> None:
    assert expected in catalogue.nearest(asked)
    assert catalogue.nearest("zzzzzzzz") == ()


NOT_IN_THE_CATALOGUE = {
    "google/gemma-3-4b-it": "has an image tower",
    "google/gemma-3-12b-it": "has an image tower",
    "google/gemma-3-27b-it": "has an image tower",
    "stabilityai/stablecode-completion-alpha-3b": "published total and sizes disagree",
    "stabilityai/stablecode-completion-alpha-3b-4k": "published total and sizes disagree",
    "stabilityai/stablecode-instruct-alpha-3b": "published total and sizes disagree",
}

KNOWN_WRONG = {
    "garage-bAInd/Platypus2-70B": "kv_heads 64 in the table; it is a Llama-2-70B, which has 8",
}


def test_sizes_agree_with_the_collected_facts(shared_data: Path) -> None:
    checked = 0
    with (shared_data / "model_facts.csv").open() as file:
        for row in csv.DictReader(file):
            name = row["hub_id"]
            if name in NOT_IN_THE_CATALOGUE or name in KNOWN_WRONG:
                continue
            shape = catalogue.find(name)
            assert shape is not None, name
            ffn = row["moe_ffn"] or row["ffn"]
            facts = [int(row[key]) for key in ("layers", "heads", "kv_heads", "hidden", "head_dim")]
            sizes = [shape.num_layers, shape.num_heads, shape.num_kv_heads, shape.hidden_size, shape.head_dim]
            assert (sizes, shape.ffn_size) == (facts, int(ffn)), name
            assert shape.vocab_size == int(row["padded_vocab"]), name
            checked += 1
    assert checked >= 200
