from __future__ import annotations

from tunekit.hub.choice import data_files, model_files

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json")
SMALL = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "special_tokens_map.json")


def test_safetensors_are_preferred_to_pickles() -> None:
    names = [*SMALL, *SHARDS, "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"]
    assert set(model_files(names)) == {*SMALL, *SHARDS}


def test_pickles_are_taken_where_there_is_nothing_else() -> None:
    names = ["config.json", "pytorch_model.bin", "flax_model.msgpack", "tf_model.h5", "training_args.bin"]
    assert set(model_files(names)) == {"config.json", "pytorch_model.bin"}


def test_second_copies_and_other_formats_stay_where_they_are() -> None:
    names = [
        "config.json",
        "model.safetensors",
        "consolidated.safetensors",
        "model.fp16.safetensors",
        "original/params.json",
        "onnx/model.onnx",
        "m.gguf",
    ]
    assert set(model_files(names)) == {"config.json", "model.safetensors"}


def test_templates_vocabularies_and_code_come_along() -> None:
    names = [
        "model.safetensors",
        "chat_template.jinja",
        "vocab.json",
        "merges.txt",
        "modeling_x.py",
        "README.md",
        "a.png",
    ]
    kept = {"model.safetensors", "chat_template.jinja", "vocab.json", "merges.txt", "modeling_x.py"}
    assert set(model_files(names)) == kept


def test_a_repository_without_weights_has_no_model() -> None:
    assert model_files(["config.json", "README.md"]) == ()


def test_data_of_every_format_and_the_card() -> None:
    names = ["README.md", "data/train-0.parquet", "a.jsonl.gz", "b.csv", "script.py", ".gitattributes"]
    assert data_files(names, None) == ("README.md", "data/train-0.parquet", "a.jsonl.gz", "b.csv")


def test_a_configuration_without_a_folder_takes_everything() -> None:
    assert data_files(["all.parquet", "README.md"], "default") == ("all.parquet", "README.md")
    assert data_files(["x/en/a.parquet", "x/de/a.parquet"], "en") == ("x/en/a.parquet",)
