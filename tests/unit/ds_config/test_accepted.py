"""The lists of keys, as far as they can be checked without DeepSpeed; the contract test holds them against it."""

from __future__ import annotations

from tunekit.ds_config.accepted import PREFIXED, REMOVED, SECTIONS, TOP_LEVEL


def test_no_key_is_both_accepted_and_removed() -> None:
    for key in REMOVED:
        section, _, name = key.rpartition(".")
        assert name not in (SECTIONS[section] if section else TOP_LEVEL)


def test_every_removed_key_says_what_to_do() -> None:
    assert all(len(hint) > 8 for hint in REMOVED.values())


def test_sections_are_keys_of_the_level_above() -> None:
    for name in SECTIONS:
        above, _, last = name.rpartition(".")
        assert last in (SECTIONS[above] if above else TOP_LEVEL)


def test_both_spellings_of_stage_three_are_accepted() -> None:
    assert "max_live_parameters" in PREFIXED
    assert {"max_live_parameters", "stage3_max_live_parameters"} <= SECTIONS["zero_optimization"]
