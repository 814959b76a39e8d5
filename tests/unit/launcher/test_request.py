from __future__ import annotations

from tunekit.launcher.request import LaunchRequest


def test_environment_is_the_callers_less_strays_plus_ours():
    request = LaunchRequest(argv=("true",), env={"A": "ours"}, unset=("RANK",), files={}, cwd="/")
    assert request.environment({"A": "theirs", "RANK": "3", "HOME": "/h"}) == {"A": "ours", "HOME": "/h"}
