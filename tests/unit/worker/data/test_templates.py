from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from data_cases import CHATML, FORGETFUL, NO_SYSTEM

from tunekit.errors import UsageError
from tunekit.worker.data.templates import (
    adds_bos,
    fold_system,
    keeps_prefixes,
    prepare_tokenizer,
    render,
    takes_system,
    training_template,
)

pytestmark = pytest.mark.train

DIALOGUE = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]


def test_a_tokenizer_with_everything_is_left_alone(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    assert prepare_tokenizer(tokenizer, chats=True) == []
    assert (tokenizer.chat_template, tokenizer.pad_token) == (CHATML, "<pad>")


@pytest.mark.parametrize(("pad", "level"), [(None, "warning"), ("</s>", "note")])
def test_padding_is_never_the_end_token_where_another_is_free(
    make_tokenizer: Callable[..., Any], pad: str | None, level: str
) -> None:
    tokenizer = make_tokenizer(pad=pad)
    (finding,) = prepare_tokenizer(tokenizer, chats=True)
    assert (finding.code, finding.level) == ("padding_token", level)
    assert tokenizer.pad_token == "<pad>"
    assert "padded with <pad> instead" in finding.text


def test_padding_falls_back_to_the_end_token_and_says_so(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(pad=None, eos_token="<pad>", unk_token="<pad>")
    (finding,) = prepare_tokenizer(tokenizer, chats=True)
    assert tokenizer.pad_token == tokenizer.eos_token == "<pad>"
    assert "padded with the end token; by length" in finding.text


def test_no_token_is_added_to_the_vocabulary(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(pad=None, template=None)
    before = len(tokenizer)
    prepare_tokenizer(tokenizer, chats=True)
    assert len(tokenizer) == before


@pytest.mark.parametrize(("with_bos", "start"), [(False, ""), (True, "<s>")])
def test_a_base_model_gets_a_plain_template_with_an_end(
    make_tokenizer: Callable[..., Any], with_bos: bool, start: str
) -> None:
    tokenizer = make_tokenizer(template=None, adds_bos=with_bos)
    (finding,) = prepare_tokenizer(tokenizer, chats=True)
    assert finding.code == "no_chat_template"
    messages = [{"role": "system", "content": "Be brief."}, *DIALOGUE]
    whole = render(tokenizer, messages)
    assert whole == start + "Be brief.\n\n### User:\nHi\n\n### Assistant:\nYo</s>\n\n"
    assert render(tokenizer, messages[:2], answer_next=True) == whole[: whole.index("Yo")]
    assert keeps_prefixes(tokenizer)


def test_text_needs_no_template(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(template=None)
    assert prepare_tokenizer(tokenizer, chats=False) == []
    assert tokenizer.chat_template is None


def test_a_tokenizer_without_an_end_is_refused(make_tokenizer: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="no end token"):
        prepare_tokenizer(make_tokenizer(eos_token=None), chats=True)


def test_templates_that_forget_are_noticed(make_tokenizer: Callable[..., Any]) -> None:
    assert keeps_prefixes(make_tokenizer())
    assert training_template(make_tokenizer()) is None
    assert not keeps_prefixes(make_tokenizer(template=FORGETFUL))
    # TRL knows no better version of a template of our own.
    assert training_template(make_tokenizer(template=FORGETFUL)) is None


def test_a_known_template_that_forgets_is_replaced_by_trls(make_tokenizer: Callable[..., Any]) -> None:
    from trl.chat_template_utils import qwen3_chat_template

    tokenizer = make_tokenizer(template=qwen3_chat_template)
    assert not keeps_prefixes(tokenizer)
    better = training_template(tokenizer)
    assert better is not None
    assert keeps_prefixes(tokenizer, better)


def test_the_system_role_is_probed_and_folded(make_tokenizer: Callable[..., Any]) -> None:
    assert takes_system(make_tokenizer())
    assert not takes_system(make_tokenizer(template=NO_SYSTEM))
    messages = [{"role": "system", "content": "S"}, *DIALOGUE]
    assert fold_system(messages) == [{"role": "user", "content": "S\n\nHi"}, DIALOGUE[1]]
    assert fold_system(DIALOGUE) == DIALOGUE


def test_a_beginning_token_is_noticed(make_tokenizer: Callable[..., Any]) -> None:
    assert adds_bos(make_tokenizer(adds_bos=True))
    assert not adds_bos(make_tokenizer())
