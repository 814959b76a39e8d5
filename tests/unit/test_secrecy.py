from __future__ import annotations

import io
import json

import pytest

from tunekit.secrecy import (
    HIDDEN,
    HidingStream,
    holds_secret,
    is_secret_name,
    redact,
    redact_forms,
    redact_json,
    secret_values,
)

PLANTED = {
    "HF_TOKEN": "planted-hf-value",
    "WANDB_API_KEY": "0123456789abcdef0123",
    "AWS_SECRET_ACCESS_KEY": 'pla"nted\\aws/value',
    "MY_WEBHOOK_URL": "https://example.org/hook/planted",
}


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_ACCESS_KEY_ID", "AZURE_KEY", "db_password"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "PATH", "KEYBOARD", "SSH_AUTH_SOCK", "MONKEY", "PATTERN"])
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


def test_values_are_hidden_as_they_stand_in_text_json_and_addresses() -> None:
    for value in PLANTED.values():
        for text in (f"<{value}>", json.dumps({"x": value}), f"say {value}{value}"):
            hidden = redact(text, PLANTED)
            assert value not in hidden
            assert json.dumps(value)[1:-1] not in hidden
            assert HIDDEN in hidden
    assert "aws%2Fvalue" not in redact("https://h/?q=pla%22nted%5Caws%2Fvalue", PLANTED)


def test_words_paths_and_short_values_are_no_secrets() -> None:
    assert secret_values({"A_TOKEN": "short", "B_KEY": "/etc/passwd", "C_TOKEN": "~/.token", "PWD": "/gone/away"}) == ()


def test_a_secret_may_begin_with_a_slash() -> None:
    """As every 64th in base64; no file has its name."""
    secret = "/plantedXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEK"
    assert redact(f"key {secret}", {"AWS_SECRET_ACCESS_KEY": secret}) == f"key {HIDDEN}"
    assert redact("a short word", {"A_TOKEN": "short"}) == "a short word"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"hf_{'a' * 34}", HIDDEN),
        ("AKIAIOSFODNN7EXAMPLE", HIDDEN),
        (f"ghp_{'a' * 36} x", f"{HIDDEN} x"),
        ("https://user:pa55@host/x", f"https://{HIDDEN}@host/x"),
        ("s3://AKIAIOSFODNN7EXAMPLE:secret@bucket", f"s3://{HIDDEN}@bucket"),
        (f"https://{'t' * 30}@github.com/x", f"https://{HIDDEN}@github.com/x"),
        ("https://hooks.slack.com/services/T0/B0/xyz", f"https://hooks.slack.com/{HIDDEN}"),
        ("https://discord.com/api/webhooks/1/abc", f"https://discord.com/api/webhooks/{HIDDEN}"),
        ("https://h/x?a=1&token=abc&b=2", f"https://h/x?a=1&{HIDDEN}&b=2"),
    ],
)
def test_forms_of_secrets_are_hidden_whatever_the_environment(text: str, hidden: str) -> None:
    assert redact_forms(text) == hidden
    assert redact(hidden, {}) == hidden


@pytest.mark.parametrize(
    "text", ["git@github.com:a/b", "http://localhost:8080/a@b", "ssh://git@host/x", "HuggingFaceTB/SmolLM2", "skip-it"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text, {}) == text
    assert not holds_secret(text, {})


def test_a_stream_hides_and_is_otherwise_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "planted-hf-value")
    below = io.StringIO()
    stream = HidingStream(below)
    assert stream.write("a planted-hf-value b") == 20
    stream.writelines(["planted-hf-value", "\n"])
    assert below.getvalue() == f"a {HIDDEN} b{HIDDEN}\n"
    assert stream.isatty() is False


@pytest.mark.parametrize("secret", ["12345678", "learning_rate", 'pla"nted\\aws/value', "plänted-välue", "truenull"])
def test_json_stays_the_same_json_beside_its_secrets(secret: str) -> None:
    record = {"learning_rate": 1e-4, "bytes": 991234567899, "said": f"<{secret}>", "rows": [True, None, secret, {}]}
    for text in (json.dumps(record), json.dumps(record, indent=2, ensure_ascii=False) + "\n"):
        shown = redact_json(text, {"A_TOKEN": secret})
        assert json.loads(shown) == {**record, "said": f"<{HIDDEN}>", "rows": [True, None, HIDDEN, {}]}
        assert shown.count("\n") in (0, len(text.splitlines()))


def test_json_within_json_and_names_in_the_form_of_secrets_are_looked_at_too() -> None:
    inner = json.dumps({"x": 'pla"nted\\aws/value'})
    shown = redact_json(json.dumps({"inner": inner, f"hf_{'a' * 34}": 1}), PLANTED)
    assert json.loads(shown) == {"inner": json.dumps({"x": HIDDEN}), HIDDEN: 1}


def test_json_without_secrets_keeps_its_bytes() -> None:
    text = '{"a":   1.50,\n "b": "x"}'
    assert redact_json(text, PLANTED) == text
