"""The benchmark's cases and its sums; the traces themselves are in tests/contract/memory/test_trace_agreement.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from trace_agreement import (
    BATCHES,
    LIMIT,
    METHODS,
    Agreement,
    AgreementCase,
    all_cases,
    as_markdown,
    as_tree,
    distinct_models,
    groups,
    measure,
    sampled,
    show,
    summary,
)

ONE = Agreement(
    model="some/model",
    family="llama",
    method="lora",
    checkpointing=True,
    rows=BATCHES[0],
    traced=1000,
    formula=1010,
    part="loss",
)


def test_every_shape_of_the_catalogue_is_there_once_under_every_job() -> None:
    models = list(distinct_models())
    cases = all_cases()
    assert len(cases) == len(models) * len(METHODS) * 2 * len(BATCHES)
    assert len({json.dumps(config, sort_keys=True) for _, config in models}) == len(models)
    assert {case.job.method for case in cases} == set(METHODS)


def test_capped_scores_are_eager_and_short() -> None:
    eager = [case.job for case in all_cases() if case.config["model_type"] == "gemma2"]
    assert eager
    assert all(job.attention == "eager" and not job.packing and job.max_seq_length <= 2048 for job in eager)


def test_a_sample_is_the_same_every_time() -> None:
    cases = all_cases()
    assert sampled(cases, 5) == sampled(cases, 5)
    assert len(sampled(cases, 10**6)) == len(cases)


def test_sums_of_errors() -> None:
    found = [replace(ONE, formula=formula) for formula in (1000, 1010, 1020, 960)]
    assert summary(found) == {"n": 4, "median": 0.015, "p90": 0.04, "worst": 0.04, "within_limit": 0.75}
    assert ONE.error == pytest.approx(0.01)
    assert LIMIT == 0.03


def test_groups_are_by_family_method_and_rows() -> None:
    other = replace(ONE, family="qwen2", checkpointing=False)
    found = groups([ONE, other])
    assert found["all"] == [ONE, other]
    assert found["qwen2"] == [other]
    assert found["lora, activations recomputed"] == [ONE]


def test_text_and_json_name_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    tree = as_tree([ONE], ["broken: why"], 1.0)
    assert tree["cases"][0]["error"] == 0.01
    assert tree["failures"] == ["broken: why"]
    show([ONE], ["broken: why"], worst=1)
    printed = capsys.readouterr().out
    assert "some/model" in printed
    assert "broken: why" in printed


def test_the_page_names_groups_and_what_is_beyond_the_limit() -> None:
    far = replace(ONE, formula=1100, model="far/off")
    text = as_markdown([ONE, far], ["broken: why"], of=5, date="2026-01-02")
    assert "on 2026-01-02: 2 of 5 cases traced, 2 models" in text
    assert "| all | 2 | 5.5% | 10.0% | 10.0% | 50.0% |" in text
    assert "Beyond 3%: far/off, lora, recomputed" in text
    assert "broken: why" in text
    assert "No case is beyond" in as_markdown([ONE], [], of=1, date="2026-01-02")


def test_what_was_traced_is_kept_and_not_traced_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(case: AgreementCase, **options: object) -> tuple[int, str]:
        asked.append(case.name)
        return 1000, "loss"

    monkeypatch.setattr("trace_agreement.traced_peak", answer)
    cases, keep = all_cases()[:3], tmp_path / "peaks.jsonl"
    first, _ = measure(cases[:2], all_layers=False, keep=keep)
    again, _ = measure(cases, all_layers=False, keep=keep)
    assert asked == [case.name for case in cases]
    assert again[:2] == first
    none, _ = measure(all_cases()[:4], all_layers=False, keep=keep, seconds=-1)
    assert len(none) == 3


def test_a_case_that_cannot_be_traced_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(case: object, **options: object) -> Agreement:
        raise RuntimeError("no such layer")

    monkeypatch.setattr("trace_agreement.traced_peak", fail)
    found, failures = measure(all_cases()[:1], all_layers=False)
    assert found == []
    assert "RuntimeError: no such layer" in failures[0]
