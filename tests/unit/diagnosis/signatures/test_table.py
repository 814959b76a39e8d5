from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from tests.failing_logs import ABOUT, patterns, sample_of, samples
from tunekit.diagnosis.signature import BELIEVED
from tunekit.diagnosis.signatures.table import SIGNATURES, hits_in, named, recognise, recognised_as

TEXTS = [sample.text for sample in samples(*ABOUT, "beside", "markers")]
BY_EXIT_CODE = {"bus error", "illegal instruction", "killed", "crash in native code"}


def test_every_signature_has_a_name_of_its_own_and_a_sample():
    names = [signature.name for signature in SIGNATURES]
    assert len(names) == len(set(names)) == len(TEXTS)
    assert set(names) == {sample.name for sample in samples(*ABOUT, "beside", "markers")}


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.name)
def test_every_signature_says_what_why_and_where_it_was_seen(signature):
    assert signature.cause
    assert signature.cure
    assert signature.source
    groups = signature.regex.groups
    hit = next(signature.hits("x"), None)
    assert hit is None, "it is in no text by itself"
    placed = signature.cause.format(*["word"] * groups) + signature.cure.format(*["word"] * groups)
    assert "{0}" not in placed


@pytest.mark.parametrize("pattern", patterns())
def test_the_words_that_must_be_known_are(pattern):
    """Of every pattern there is a sample that has the words, and a signature of the table that finds them in it."""
    found = [text for text in TEXTS if re.search(pattern, text, re.MULTILINE)]
    assert found, "no sample has these words"
    assert any(signature.regex.search(text) for text in found for signature in SIGNATURES)


def test_there_are_as_many_patterns_as_were_written_down():
    assert len(patterns()) == 60


def test_the_more_trusted_words_win():
    text = f"{sample_of('NCCL').text}{sample_of('GPU out of memory').text}exits with return code = -9\n"
    assert recognise(text).signature.name == "killed"
    assert recognised_as(text, "error").signature.name == "GPU out of memory"
    assert recognise("all went well") is None
    assert all(signature.trust in (*BELIEVED, "noise", "remark", "marker") for signature in SIGNATURES)


def test_what_only_reports_a_failure_gives_way_to_what_failed():
    build = sample_of("op failed to build").text
    assert recognise(build).signature.name == "op failed to build"
    assert recognise(build, within=f"fatal error: Python.h: No such file\n{build}").groups == ("Python.h",)


def test_a_name_that_is_not_in_the_table():
    assert named("libaio").name == "libaio"
    with pytest.raises(KeyError):
        named("witchcraft")
    assert [*hits_in("OVERFLOW! Rank 0 Skipping step", "error")] == []


def test_a_long_log_is_read_in_seconds():
    text = "{'loss': 1.9213, 'grad_norm': 2.1, 'learning_rate': 9.8e-05, 'epoch': 0.02}\n" * 40_000
    began = time.process_time()
    recognise(text)
    assert time.process_time() - began < 4.0


def alternatives(pattern):
    """The parts of a pattern between its outermost bars."""
    depth, parts = 0, [""]
    for sign in re.findall(r"\\.|\[(?:\\.|[^\]])*\]|.", pattern):
        depth += (sign == "(") - (sign == ")")
        parts = [*parts, ""] if sign == "|" and depth == 0 else [*parts[:-1], parts[-1] + sign]
    return parts


@pytest.mark.parametrize("signature", [each for each in SIGNATURES if each.needles], ids=lambda each: each.name)
def test_every_hit_of_a_slow_pattern_has_one_of_its_needles(signature):
    for part in alternatives(signature.pattern):
        words = re.sub(r"\\(.)", r"\1", part)
        assert any(needle in words for needle in signature.needles), part


def test_where_no_needle_is_the_pattern_is_not_searched():
    text = "3.80 GiB is reserved by PyTorch but unallocated"
    assert [*named("fragmented").hits(text)]
    assert not [*replace(named("fragmented"), needles=("nowhere",)).hits(text)]


def test_a_long_log_without_failures_is_searched_fast():
    text = "{'loss': 1.4102, 'grad_norm': 0.61, 'learning_rate': 9.9e-05, 'epoch': 0.01}\n" * 10_000
    searched = [each for each in SIGNATURES if not each.needles or any(needle in text for needle in each.needles)]
    assert not {"op's library", "built for another torch", "GPU out of memory"} & {each.name for each in searched}


@pytest.mark.parametrize(
    "words",
    [
        "Watchdog caught collective operation timeout OpType=x ",
        "Check batch related parameters ",
        "DataLoader worker (pid 3) ",
    ],
)
def test_a_line_without_an_end_takes_no_time_with_its_square(words):
    began = time.process_time()
    recognise(words * 20_000)
    assert time.process_time() - began < 4, "six seconds and more where every place reads the line to its end"
