from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from trl.trainer.sft_trainer import DataCollatorForLanguageModeling  # noqa: E402

from tests.traces import a_request  # noqa: E402
from tunekit.worker.tracing.batch import make_batch, packed  # noqa: E402

pytestmark = pytest.mark.train


def test_packed_rows_look_as_trls_collator_leaves_them() -> None:
    made = packed(tokens=10, samples=3)
    rows = [{"input_ids": [0] * 10, "labels": [0] * 10, "seq_lengths": [4, 3, 3]}]
    theirs = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(rows)
    assert set(made) == set(theirs)
    for name, value in theirs.items():
        if torch.is_tensor(value) and name != "labels":
            assert torch.equal(made[name], value), name
            assert made[name].dtype == value.dtype
        elif not torch.is_tensor(value):
            assert made[name] == value


def test_padded_rows_look_as_trls_collator_leaves_them() -> None:
    made = make_batch(a_request(micro_batch_size=2, max_seq_length=4))
    rows = [{"input_ids": [0] * 4}, {"input_ids": [0] * 3}]
    theirs = DataCollatorForLanguageModeling(pad_token_id=0)(rows)
    assert set(made) == set(theirs)
    assert torch.equal(made["attention_mask"], theirs["attention_mask"])


def test_one_row_has_no_padding() -> None:
    assert make_batch(a_request(max_seq_length=16))["attention_mask"].all()


def test_rows_are_joined_when_packed() -> None:
    assert make_batch(a_request(micro_batch_size=3, max_seq_length=16, packing=True))["input_ids"].shape == (1, 48)
