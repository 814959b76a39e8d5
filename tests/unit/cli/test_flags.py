from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tunekit.cli.flags import refuse_flags
from tunekit.cli.main import app
from tunekit.errors import UsageError


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["r", "--train.max_steps=3"], "--train.max_steps=3: keys of the recipe are typed without dashes; write {}."),
        (["r", "--train.max_steps", "3"], "--train.max_steps: keys of the recipe are typed without dashes; write {}."),
        (["r", "--max-steps=3"], "--max-steps=3: keys of the recipe are typed without dashes; write {}."),
    ],
)
def test_a_key_typed_as_a_flag_is_answered_with_what_to_type(words: list[str], typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        refuse_flags(words, known={"--on"})
    assert str(caught.value) == typed.format("train.max_steps=3")


def test_a_misspelt_path_and_a_missing_value_are_answered_too() -> None:
    with pytest.raises(UsageError, match=r"write trian\.max_steps=VALUE\.$"):
        refuse_flags(["--trian.max_steps"], known=())


def test_options_and_other_words_are_let_through() -> None:
    refuse_flags(["r", "--on", "x", "--nope", "a=--train.max_steps=3", "--path=x"], known={"--on"})


@pytest.mark.parametrize("verb", ["plan", "launch"])
def test_the_verbs_that_take_keys_answer_so(verb: str) -> None:
    done = CliRunner().invoke(app, [verb, "quickstart", "--train.max_steps=3"])
    assert isinstance(done.exception, UsageError)
    assert "write train.max_steps=3." in str(done.exception)
