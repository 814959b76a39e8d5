from __future__ import annotations

from typing import Any

import pytest

from tunekit.errors import UsageError
from tunekit.model_shape.keys import Keys


def keys(**values: Any) -> Keys:
    return Keys(values=values, source="config.json")


def test_missing_and_null_keys_get_the_default() -> None:
    assert keys().number("hidden_size", 7) == 7
    assert keys(hidden_size=None).number("hidden_size", 7) == 7
    assert keys(bias=None).flag("bias", default=True) is True
    assert keys().optional_number("head_dim") is None
    assert keys().numbers("mlp_only_layers") == ()


def test_written_values_win() -> None:
    assert keys(hidden_size=3).number("hidden_size", 7) == 3
    assert keys(head_dim=3).optional_number("head_dim") == 3
    assert keys(bias=False).flag("bias", default=True) is False
    assert keys(layers=[1, 2]).numbers("layers") == (1, 2)


@pytest.mark.parametrize("value", [0, -1, "64", 6.5, True, [64]])
def test_what_is_no_size_is_refused_with_the_value(value: Any) -> None:
    with pytest.raises(UsageError, match="config.json: hidden_size is .*; a whole number of 1 or more belongs there"):
        keys(hidden_size=value).number("hidden_size")


def test_a_key_without_default_must_be_there() -> None:
    with pytest.raises(UsageError, match="hidden_size is missing"):
        keys().number("hidden_size")


def test_flags_and_lists_are_checked() -> None:
    with pytest.raises(UsageError, match="bias is 'yes'; true or false belongs there"):
        keys(bias="yes").flag("bias")
    with pytest.raises(UsageError, match="layers is 'all'; a list of layer numbers"):
        keys(layers="all").numbers("layers")


def test_splitting_must_come_out_even() -> None:
    assert keys().split("hidden_size", 64, "num_attention_heads", 4) == 16
    with pytest.raises(UsageError, match="hidden_size 65 is not a multiple of num_attention_heads 4"):
        keys().split("hidden_size", 65, "num_attention_heads", 4)


def test_what_no_model_has_is_refused_before_it_is_counted_through() -> None:
    with pytest.raises(UsageError, match="num_hidden_layers is 1,000,000,000; no model has more than 10,000"):
        keys(num_hidden_layers=10**9).number("num_hidden_layers")
    with pytest.raises(UsageError, match="hidden_size is 10,000,001; no model has more than 10,000,000"):
        keys(hidden_size=10**7 + 1).number("hidden_size")
    assert keys(max_position_embeddings=10_485_760).number("max_position_embeddings") == 10_485_760


def test_texts_are_read_and_anything_else_is_refused() -> None:
    keys = Keys(values={"kinds": ["a", "b"], "wrong": [1]}, source="c.json")
    assert keys.words("kinds") == ("a", "b")
    assert keys.words("missing") == ()
    with pytest.raises(UsageError, match=r"c\.json: wrong is \[1\]"):
        keys.words("wrong")
