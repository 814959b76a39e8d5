from __future__ import annotations

from tunekit.recipe.foreign_names import FOREIGN_NAMES
from tunekit.recipe.keys import all_keys


def test_every_foreign_name_leads_to_a_key_we_have() -> None:
    assert len(FOREIGN_NAMES) > 30
    assert set(FOREIGN_NAMES.values()) <= set(all_keys())


def test_no_foreign_name_is_one_of_ours() -> None:
    assert not set(FOREIGN_NAMES) & {key.name for key in all_keys().values()}
