from __future__ import annotations

from dataclasses import replace

import pytest

from tests.examining import READINGS, ROWS, healthy, with_readings, with_trial, without_trials
from tunekit.doctor.case import Refusal
from tunekit.doctor.model_data import CHECKS, adapters, data, model_config, model_files, tokenizer
from tunekit.doctor.readings import ModelFiles
from tunekit.launcher.preflight import Fault, Mount, Need
from tunekit.units import GIB


def refused(check):
    return replace(healthy(plan=False), refusal=Refusal(check=check, text="because"), trials={})


def rows(**changes):
    return with_trial(healthy(), "rows", {**ROWS, **changes})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_recipe_without_a_plan_can_tell_nothing_more(check):
    assert check.of_recipe
    assert check.look(with_readings(refused("combinations"), model=None)).state == "cannot tell"


def test_the_model_is_here():
    assert model_files(healthy()).found == "whole, 257 MiB of safetensors in ~/models/tiny"
    packed = with_readings(healthy(), model=ModelFiles(gguf="a.gguf"))
    assert model_files(packed).found == "a.gguf, converted once at the first launch"
    need = Need(what="m", setting="HF_HOME", mount=Mount(path="/", device=1, free_bytes=0), bytes=13 * GIB)
    absent = replace(with_readings(healthy(), model=ModelFiles()), needs=(need,))
    assert model_files(absent).found == "not on this disk yet: the launch fetches about 13.0 GiB, once"


def test_a_model_that_cannot_be_had():
    gated = with_readings(healthy(), model=ModelFiles(fault="m is gated. Ask for it at its page, then hf auth login."))
    assert (model_files(gated).state, model_files(gated).found) == ("blocks", "m is gated")
    assert model_files(gated).cure == "Ask for it at its page, then hf auth login"
    assert model_files(refused("model_files")).state == "blocks"


def test_weights_that_can_run_code():
    files = replace(READINGS.model, pickle=True)
    assert model_files(with_readings(healthy(), model=files)).state == "warning"


def test_the_config():
    assert model_config(healthy()).found == "llama, 2 layers, hidden 64, vocabulary 256 tied, 512 positions"
    long = model_config(healthy(job={"max_seq_length": 1024}))
    assert (long.state, long.cure) == ("warning", "train.max_seq_length=512")
    assert model_config(refused("model_config")).state == "blocks"


def test_the_tokenizer():
    assert tokenizer(healthy()).found == ("256 tokens, 256 embeddings, end </s>, padding <pad>, its own chat template")
    assert tokenizer(without_trials(healthy())).state == "cannot tell"
    assert tokenizer(with_trial(healthy(), "rows", missing="needs torch, which is not installed")).cure
    broken = tokenizer(with_trial(healthy(), "rows", missing="the tokenizer cannot be read: bad JSON"))
    assert (broken.state, "bad JSON" in broken.found) == ("blocks", True)
    assert tokenizer(with_trial(healthy(), "rows", missing="not done after 120 s")).state == "cannot tell"


def test_a_tokenizer_that_needs_a_look():
    more = tokenizer(rows(tokenizer={**ROWS["tokenizer"], "tokens": 300}))
    assert (more.state, "300 tokens, 256 embeddings" in more.found) == ("blocks", True)
    said = tokenizer(rows(tokenizer={**ROWS["tokenizer"], "remarks": ["it has no padding token"]}))
    assert (said.state, said.found.endswith("it has no padding token")) == ("warning", True)


def test_the_data():
    assert data(healthy()).found == (
        "128 rows as messages: 10,000 tokens, 50% learned, longest 200 of 256, 128 answers end"
    )
    assert data(rows(cut_short=True)).found.startswith("the first 128 rows")
    assert data(without_trials(healthy())).state == "cannot tell"
    assert data(with_trial(healthy(), "rows", missing="needs the data set")).state == "cannot tell"
    assert data(with_trial(healthy(), "rows", missing="not done after 120 s")).state == "cannot tell"


def test_data_that_makes_trouble():
    cut = {**ROWS["statistics"], "truncated_rows": 9, "length_for_99_percent": 512}
    seen = data(rows(statistics=cut, warnings=["9 of 128 rows are cut"]))
    assert (seen.state, seen.cure) == ("warning", "train.max_seq_length=512 keeps 99 % of the rows whole")
    masked = data(rows(fault="a.jsonl: 9 rows have no token to learn. Type train.max_seq_length=512"))
    assert (masked.state, masked.cure) == ("blocks", "Type train.max_seq_length=512")
    assert data(with_trial(healthy(), "rows", missing="ValueError: odd")).state == "blocks"
    fault = Fault(kind="usage", check="data", text="line 3: bad\nline 4: bad")
    assert data(healthy(faults=(fault,))).cure == "mend the rows that are named"


def test_adapters():
    assert adapters(healthy()).found.startswith("1.0 k parameters in q_proj, v_proj")
    assert adapters(healthy(job={"adapter": None})).state == "not needed"
    none = healthy()
    none = replace(none, plan=replace(none.plan, num_trainable_parameters=0))
    assert (adapters(none).state, adapters(none).cure) == ("blocks", "method.target_modules=all-linear")
