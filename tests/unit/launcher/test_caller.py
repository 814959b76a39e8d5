from __future__ import annotations

import sys
from pathlib import Path

from tests.plans import make_caller
from tunekit.launcher import caller as module
from tunekit.launcher.caller import PACKAGES, TRAIN_MODULES, missing_modules, this_caller


def test_this_process(monkeypatch):
    monkeypatch.setenv("TUNEKIT_TEST_MARK", "here")
    caller = this_caller()
    assert caller.executable == sys.executable
    assert caller.environ["TUNEKIT_TEST_MARK"] == "here"
    assert set(caller.versions) == set(PACKAGES)
    assert caller.versions["tunekit"]
    assert caller.cwd == str(Path.cwd())


def test_cache_follows_xdg():
    assert make_caller(environ={"XDG_CACHE_HOME": "/c"}).cache_dir == Path("/c/tunekit")
    assert make_caller(environ={"HOME": "/h"}).cache_dir == Path("/h/.cache/tunekit")
    for environ in ({"HOME": ""}, {"HOME": "/h", "XDG_CACHE_HOME": ""}, {}):
        assert make_caller(environ=environ).cache_dir.is_absolute(), environ


def test_missing_modules_are_named_without_importing(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in ("torch", "trl") else object())
    assert missing_modules() == ("torch", "trl")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert missing_modules() == TRAIN_MODULES
