from __future__ import annotations

import re

import pytest

from tunekit.diagnosis.phases import MOMENTS
from tunekit.diagnosis.signatures.table import SIGNATURES
from tunekit.diagnosis.wording import said_for

OURS = re.compile(
    r"\b(?:data|train|output|zero|method)\.(?!log\b)[a-z]+|\bmodel\.attention|\btunekit (?!launch --dry-run)"
)
CURES = [*(signature.cure for signature in SIGNATURES), *(moment.saver for moment in MOMENTS)]


@pytest.mark.parametrize("cure", CURES)
def test_no_key_of_ours_is_told_to_whoever_has_none(cure):
    assert not OURS.search(said_for(cure, own=False))
    assert said_for(cure, own=True) == cure


def test_there_are_keys_to_say_otherwise():
    assert sum(OURS.search(cure) is not None for cure in CURES) > 15


def test_the_words_of_the_trainer():
    assert said_for("set output.keep_checkpoints=1", own=False) == "set save_total_limit=1"
    assert said_for("data.num_workers=0 needs less", own=False) == "dataloader_num_workers=0 needs less"
