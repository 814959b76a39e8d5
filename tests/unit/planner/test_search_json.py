from __future__ import annotations

import json

from planning import LLAMA_8B
from searching import searched

from tunekit.planner.search_json import search_to_json


def test_everything_is_there_under_its_own_name() -> None:
    found = searched(LLAMA_8B, "lora")
    tree = json.loads(json.dumps(search_to_json(found)))
    assert tree["goal"] == "speed"
    assert len(tree["candidates"]) == len(found.candidates)
    assert tree["recommended"]["zero"]["stage"] == (found.recommended and found.recommended.zero.stage)
    assert tree["plan"]["verdict"] == "fits"
    assert (tree["plans"], tree["weighed"]) == (found.plans, found.weighed)


def test_settings_are_keys_and_values() -> None:
    found = searched(LLAMA_8B, "lora")
    for candidate, value in zip(found.candidates, search_to_json(found)["candidates"], strict=True):
        assert value["settings"] == dict(candidate.settings)
        assert value["settings"]["method.kind"] == "lora"


def test_the_recommended_one_and_the_runner_up_are_written_alike() -> None:
    tree = search_to_json(searched(LLAMA_8B, "lora"))
    assert isinstance(tree["recommended"]["settings"], dict)
    assert isinstance(tree["runner_up"]["settings"], dict)
