from __future__ import annotations

import pytest

from tunekit.errors import UsageError
from tunekit.recipe.schema import WatchSection
from tunekit.watch.notice import Addressee, Notice, addressees


def test_those_of_the_recipe_and_of_the_user_without_doubles():
    watch = WatchSection(notify_command=("say", "hello"), notify_url="https://a.example/x")
    own = {"command": ["say", "hello"], "url": "http://b.example"}
    assert addressees(watch, own, {}) == (
        Addressee(command=("say", "hello")),
        Addressee(url="https://a.example/x"),
        Addressee(url="http://b.example"),
    )
    assert addressees(WatchSection(), {}, {}) == ()


def test_an_address_may_lie_in_the_environment():
    watch = WatchSection(notify_url="$HOOK")
    assert addressees(watch, {}, {"HOOK": "https://a.example/secret"}) == (Addressee(url="https://a.example/secret"),)


@pytest.mark.parametrize("environ", [{}, {"HOOK": "secret"}, {"HOOK": "https://"}, {"HOOK": "file:///etc/passwd"}])
def test_a_variable_without_an_address_is_refused_without_its_value(environ):
    with pytest.raises(UsageError, match="HOOK holds no address") as caught:
        addressees(WatchSection(notify_url="$HOOK"), {}, environ)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("own", [{"comand": ["a"]}, {"command": "rm -rf"}, {"url": 3}, {"command": [3]}])
def test_a_faulty_file_of_the_user_is_named(own):
    with pytest.raises(UsageError, match=r"my/notify.yaml: it may hold `command:`"):
        addressees(WatchSection(), own, {}, own_path="my/notify.yaml")


def test_messages_name_no_secret_part_of_an_addressee():
    assert Addressee(url="https://me:pw@hooks.example/services/T0/secret?k=v").name == "hooks.example"
    assert Addressee(command=("/bin/send", "--token", "secret")).name == "/bin/send"


def test_the_payload():
    notice = Notice(
        occasion="warning", run="tiny", run_dir="/runs/tiny", host="box", text="hot", time=5.0, facts={"rule": "heat"}
    )
    assert notice.payload() == {
        "event": "warning",
        "text": "tunekit: tiny on box: hot",
        "run": "tiny",
        "run_dir": "/runs/tiny",
        "host": "box",
        "time": 5.0,
        "rule": "heat",
    }
