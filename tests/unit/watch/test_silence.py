from __future__ import annotations

from tunekit.recipe.schema import WatchSection
from tunekit.watch.silence import Silence, limit, listen


def test_a_sign_ends_a_silence_and_the_same_sign_does_not():
    silence = Silence(sign="a", since=10.0, told=True)
    assert listen(silence, "a", 99.0) is silence
    assert listen(silence, "b", 99.0) == Silence(sign="b", since=99.0)


def test_a_run_of_long_steps_may_be_silent_for_ten_of_them():
    watch = WatchSection(silent_seconds=100)
    assert limit(watch, 5.0) == 100
    assert limit(watch, 60.0) == 600
    assert limit(WatchSection.model_validate({"silent_seconds": "off"}), 60.0) is None


def test_before_a_step_is_measured_nobody_is_called_silent_sooner_than_by_default():
    assert limit(WatchSection(silent_seconds=20), None) == WatchSection().silent_seconds
    assert limit(WatchSection(silent_seconds=20), 1.0) == 20
    assert limit(WatchSection(silent_seconds=900), None) == 900
