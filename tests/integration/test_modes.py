"""Everything else a recipe can ask of the worker, each once, with real ranks: and a plan that must fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tiny
from tunekit.launcher.run_dir import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.train]

LORA = {"kind": "lora"}
MODES: dict[str, dict[str, Any]] = {
    "plain": {"method": LORA},
    "rehearsed": {
        "method": LORA,
        "data": {"eval_fraction": 0.2},
        "train": {"rehearsal": "always"},
        "output": {"save_steps": 4},
    },
    "not rehearsed": {"method": LORA, "data": {"eval_fraction": 0.2}},
    "sharded in RAM, rehearsed": {"zero": {"preset": "z3_offload"}, "train": {"rehearsal": "always"}},
    "sharded in RAM": {"zero": {"preset": "z3_offload"}},
    "checkpointed": {"method": LORA, "train": {"activation_checkpointing": True}},
    "chunked": {"method": LORA, "train": {"loss": "chunked"}},
    "sharded, checkpointed, chunked": {
        "method": LORA,
        "zero": {"preset": "z3"},
        "train": {"activation_checkpointing": True, "loss": "chunked"},
    },
    "4-bit, sharded, checkpointed": {
        "method": {"kind": "qlora"},
        "zero": {"preset": "z3_qlora"},
        "train": {"activation_checkpointing": True},
        "output": {"sample_prompts": ["Why?", "What colour is the car?"], "sample_tokens": 4},
    },
    "fp4 without double quantisation": {"method": {"kind": "qlora", "quantization": "fp4", "double_quant": False}},
    "8-bit base, recomputed": {
        "method": {"kind": "qlora", "quantization": "int8"},
        "train": {"activation_checkpointing": True},
    },
    "bf16 states in RAM, stage 2": {"zero": {"preset": "z2_offload_bf16"}},
    "bf16 states in RAM, stage 3": {"zero": {"preset": "z3_offload_bf16"}},
    "a share of the optimizer in RAM": {"zero": {"preset": "z3_offload_ratio"}},
    "fp32": {"zero": {"preset": "z3"}, "train": {"precision": "fp32"}},
    "padded rows, evaluated": {
        "method": LORA,
        "data": {"packing": False, "eval_fraction": 0.2},
        "train": {"micro_batch_size": 2, "eval_steps": 2},
    },
    "a stream, packed": {"method": LORA, "data": {"streaming": True}},
    "a loading process": {"method": LORA, "data": {"num_workers": 1}},
    "8-bit Adam": {"method": LORA, "train": {"optimizer": "adamw_8bit"}},
    "Lion": {"method": LORA, "train": {"optimizer": "lion"}},
    "Lion in RAM": {"zero": {"preset": "z2_offload"}, "train": {"optimizer": "lion"}},
    "Adafactor": {"method": LORA, "train": {"optimizer": "adafactor"}},
    "a head trained beside adapters": {"method": {**LORA, "modules_to_save": ["lm_head"]}, "zero": {"preset": "z3"}},
    "eager attention": {"method": LORA, "model": {"attention": "eager"}, "data": {"packing": False}},
}
FAILING = "another count than planned"


@pytest.fixture(scope="module")
def modes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All modes, trained by one launch that ends with the plan that must fail."""
    root = tmp_path_factory.mktemp("modes")
    model, data = tiny.write_model(root / "model"), tiny.write_data(root / "data.jsonl")
    for name, changes in {**MODES, FAILING: {}}.items():
        tiny.write_run(root / name, tiny.recipe(model, data, root / name, **changes))
    spoil(RunDir(root / FAILING).plan)
    tiny.build_ops(root / "bf16 states in RAM, stage 2")
    code = tiny.finish(tiny.start([root / name for name in (*MODES, FAILING)]))
    assert code == 1, tiny.log_tail(root / "plain")
    return root


def spoil(plan: Path) -> None:
    """A plan that counted one parameter too many."""
    record = json.loads(plan.read_text())
    record["num_trainable_parameters"] += 1
    plan.write_text(json.dumps(record))


def success(modes: Path, name: str) -> dict[str, Any]:
    """The success marker of one mode."""
    record: dict[str, Any] = json.loads(RunDir(modes / name).success.read_text())
    return record


@pytest.mark.parametrize("name", MODES)
def test_it_trains_and_its_result_is_verified(modes: Path, name: str) -> None:
    record = success(modes, name)
    losses = tiny.metrics(modes / name)
    assert record["steps"] == len(losses) == 4
    assert losses[-1] < losses[0]
    assert record["final"]["parameters"] > 0
    assert not RunDir(modes / name).failure.exists()


@pytest.mark.parametrize("name", ["checkpointed", "a loading process"])
def test_how_it_is_computed_does_not_change_what_is_learned(modes: Path, name: str) -> None:
    assert tiny.metrics(modes / name) == pytest.approx(tiny.metrics(modes / "plain"), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "other"), [("rehearsed", "not rehearsed"), ("sharded in RAM, rehearsed", "sharded in RAM")]
)
def test_a_rehearsal_leaves_no_trace_in_what_is_learned(modes: Path, name: str, other: str) -> None:
    for number in ("loss", "grad_norm", "learning_rate"):
        assert tiny.metrics(modes / name, number) == tiny.metrics(modes / other, number)
    events = [json.loads(line) for line in RunDir(modes / name).events.read_text().splitlines()]
    (told,) = [event for event in events if event["event"] == "rehearsal"]
    assert told["host_bytes"] > 50 * 2**20
    assert told["without_optimizer"] is None
    measured = json.loads(RunDir(modes / name).measured.read_text())
    assert all(rank["phases"]["rehearsal"]["seconds"] > 0 for rank in measured["ranks"])
    assert not RunDir(modes / name).rehearsal.exists()
    assert "rehearsal" not in RunDir(modes / other).events.read_text()


@pytest.mark.parametrize("name", ["chunked", "sharded, checkpointed, chunked"])
def test_chunks_and_shards_round_differently_and_no_more(modes: Path, name: str) -> None:
    assert tiny.metrics(modes / name) == pytest.approx(tiny.metrics(modes / "plain"), rel=1e-3)


def test_an_8_bit_base_starts_where_the_16_bit_one_does(modes: Path) -> None:
    eight, whole = (tiny.metrics(modes / name) for name in ("8-bit base, recomputed", "plain"))
    assert eight[0] == pytest.approx(whole[0], rel=0.01)


def test_evaluations_are_logged_between_steps_and_once_at_the_end(modes: Path) -> None:
    found = tiny.metrics(modes / "padded rows, evaluated", "eval_loss")
    assert len(found) == 2
    assert success(modes, "padded rows, evaluated")["eval_loss"] == found[-1]


def test_questions_do_not_disturb_a_sharded_4_bit_model(modes: Path) -> None:
    samples = success(modes, "4-bit, sharded, checkpointed")["samples"]
    assert [sample["prompt"] for sample in samples] == ["Why?", "What colour is the car?"]
    assert all(sample["before"] != sample["after"] for sample in samples)


def test_a_head_is_saved_beside_the_adapter(modes: Path) -> None:
    from safetensors.torch import load_file

    saved = load_file(RunDir(modes / "a head trained beside adapters").final / "adapter_model.safetensors")
    assert [tuple(tensor.shape) for name, tensor in saved.items() if "lm_head" in name] == [(tiny.VOCAB, tiny.HIDDEN)]


def test_a_failure_names_rank_phase_and_both_numbers(modes: Path) -> None:
    files = RunDir(modes / FAILING)
    failure = json.loads(files.failure.read_text())
    assert not files.success.exists()
    assert failure["rank"] in (0, 1)
    assert (failure["phase"], failure["type"]) == ("trainer", "TunekitError")
    assert "parameters are trainable, the plan counted" in failure["message"]
    assert "check_count" in failure["traceback"]
