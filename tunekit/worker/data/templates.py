"""The tokenizer made ready for training: a chat template, a padding token, and the checks both deserve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import TemplateError
from trl.chat_template_utils import get_training_chat_template

from tunekit.errors import UsageError
from tunekit.recipe.data_formats import Message
from tunekit.worker.data.checks import Finding

DEFAULT_TEMPLATE = """\
{{- 'BEGINNING' }}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}{{ message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'assistant' -%}{{ '### Assistant:\\n' + message['content'] + eos_token + '\\n\\n' }}
{%- else -%}{{ '### User:\\n' + message['content'] + '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '### Assistant:\\n' }}{%- endif -%}"""
"""For base models without a template of their own: plain role headings that every vocabulary can spell, and the end
token after each answer. It is saved with the tokenizer, so inference uses the same."""

RESERVED_FOR_PADDING = (
    "<|finetune_right_pad_id|>",
    "<|fim_pad|>",
    "<pad>",
    "[PAD]",
    "<|pad|>",
    "<|endoftext|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_247|>",
)
"""Tokens in well-known vocabularies that no text contains."""

_DIALOGUE: list[Message] = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
    {"role": "assistant", "content": "four"},
]


def prepare_tokenizer(tokenizer: Any, *, chats: bool) -> list[Finding]:
    """Give `tokenizer` a chat template (when `chats`) and a padding token where it lacks them; says what was done.

    Raises UsageError when it has no end token, so that no answer could ever end.
    """
    if tokenizer.eos_token is None:
        raise UsageError("the tokenizer has no end token (eos_token): a model trained with it would never stop")
    said = [_give_template(tokenizer)] if chats and not tokenizer.chat_template else []
    return [*said, *_give_padding(tokenizer)]


def training_template(tokenizer: Any) -> str | None:
    """The template to train several turns with, where it must differ from the tokenizer's own; None where it need not.

    Some templates render an earlier answer differently once another turn follows (Qwen3 drops its thoughts). TRL
    carries versions of well-known templates that do not.
    """
    if keeps_prefixes(tokenizer):
        return None
    try:
        return get_training_chat_template(tokenizer)
    except (ValueError, TemplateError):
        return None


def keeps_prefixes(tokenizer: Any, template: str | None = None) -> bool:
    """True when each beginning of a dialogue is rendered as the beginning of the whole."""
    whole = render(tokenizer, _DIALOGUE, template=template)
    return whole.startswith(render(tokenizer, _DIALOGUE[:2], template=template))


def takes_system(tokenizer: Any) -> bool:
    """True when the template knows the system role."""
    try:
        return "twelve" in render(tokenizer, [{"role": "system", "content": "twelve"}, *_DIALOGUE[:2]])
    except TemplateError:
        return False


def fold_system(messages: list[Message]) -> list[Message]:
    """The system message put in front of the first question, for templates without a system role."""
    if not messages or messages[0]["role"] != "system":
        return messages
    system, *rest = messages
    if not rest or rest[0]["role"] != "user":
        return rest
    question = {**rest[0], "content": f"{system['content']}\n\n{rest[0]['content']}"}
    return [question, *rest[1:]]


def render(
    tokenizer: Any,
    messages: list[Message],
    *,
    answer_next: bool = False,
    template: str | None = None,
    tools: list[Any] | None = None,
) -> str:
    """The dialogue as one text; `answer_next` ends it where the model would begin to answer. Raises TemplateError."""
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=answer_next, chat_template=template, tools=tools
    )
    return str(text)


def adds_bos(tokenizer: Any) -> bool:
    """True when the tokenizer puts its beginning token in front of every text by itself."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def _give_template(tokenizer: Any) -> Finding:
    bos = tokenizer.bos_token if adds_bos(tokenizer) else ""
    # Written into the template, because text from a template is tokenised without adding special tokens.
    tokenizer.chat_template = DEFAULT_TEMPLATE.replace("BEGINNING", bos)
    return Finding(
        level="warning",
        code="no_chat_template",
        text="the model has no chat template: dialogues are written under the plain headings `### User:` and "
        f"`### Assistant:`, and answers end with {tokenizer.eos_token}; model.chat_template takes one of your own",
    )


def _give_padding(tokenizer: Any) -> Iterator[Finding]:
    """A padding token that is not the end token, from the vocabulary as it is: a new one would change the model."""
    pad, eos = tokenizer.pad_token, tokenizer.eos_token
    if pad is not None and pad != eos:
        return
    vocabulary = tokenizer.get_vocab()
    spare = (*RESERVED_FOR_PADDING, tokenizer.unk_token)
    chosen = next((token for token in spare if token in vocabulary and token not in (eos, tokenizer.bos_token)), None)
    tokenizer.pad_token = chosen or eos
    had = "the tokenizer has no padding token" if pad is None else f"the padding token is the end token {eos}"
    if chosen:
        how = f"rows are padded with {chosen} instead, so that answers learn to end"
    else:
        how = "no other is free, so rows are padded with the end token; by length, so answers still learn to end"
    yield Finding(level="warning" if pad is None else "note", code="padding_token", text=f"{had}: {how}")
