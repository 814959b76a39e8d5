"""Every shipped recipe, planned on the hardware it names, has the verdict its header promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.hardware.spec import Disk, Hardware, Host
from tunekit.notebook import plan
from tunekit.recipe.listing import read_listed
from tunekit.recipe.loading import load_recipe
from tunekit.recipe.shipped import shipped_names
from tunekit.units import GB, GIB

NAMES = shipped_names("recipes")
LAPTOP = Hardware(
    name="a small machine",
    description="what the header of the quickstart promises to be enough",
    gpus=(),
    link=None,
    host=Host(cpu="two cores", cores=2, ram_bytes=8 * GIB, usable_ram_bytes=6 * GB, ram_bandwidth=20 * GB),
    disks=(Disk(name="disk", total_bytes=64 * GB, usable_bytes=20 * GB, read_rate=GB, write_rate=GB),),
)
"""`local` differs from machine to machine; the smallest that is promised stands for it."""


def test_no_recipe_is_left_out(repository: Path) -> None:
    files = sorted(file.stem for file in (repository / "recipes").rglob("*.y*ml"))
    assert files == list(NAMES)
    assert len(files) == 23


@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_in_the_header_is_the_plan_s(name: str) -> None:
    listed = read_listed(name)
    made = plan(name, on=LAPTOP if listed.hardware == "local" else None)
    assert made.verdict == listed.verdict, made.reason
    assert made.hardware.name == (LAPTOP.name if listed.hardware == "local" else listed.hardware)
    assert made.job.method == listed.method
    assert made.job.zero.preset == listed.zero


@pytest.mark.parametrize("name", [name for name in NAMES if read_listed(name).verdict == "rejected"])
def test_an_honest_rejection_offers_a_way_out(name: str) -> None:
    fixes = plan(name).fixes
    assert fixes
    changed = [word for word in fixes[0].set.split() if "=" in word]
    assert plan(name, changed).verdict == fixes[0].verdict != "rejected"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_the_batch_and_saves_into_its_own_folder(name: str) -> None:
    recipe = load_recipe(name).recipe
    assert recipe.train.micro_batch_size is not None
    assert (recipe.train.global_batch_size is None) != (recipe.train.gradient_accumulation_steps is None)
    assert recipe.output.dir == f"runs/{name}"


def test_the_kinds_of_verdict_and_method_are_all_shown() -> None:
    listed = [read_listed(name) for name in NAMES]
    assert {entry.method for entry in listed} == {"full", "lora", "qlora"}
    assert {entry.verdict for entry in listed} >= {"fits", "rejected"}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_trains_as_it_is_on_the_bundled_data(name: str) -> None:
    """Packed rows x epochs must fill a step whatever the tokenizer: some count a quarter fewer tokens than planned."""
    made = plan(name, on=LAPTOP if read_listed(name).hardware == "local" else None)
    assert made.recipe.train.max_steps or (made.expected_steps or 0) >= 3
