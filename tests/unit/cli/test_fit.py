from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tunekit.cli.fit import Asked
from tunekit.cli.main import app

LLAMA = "meta-llama/Llama-3.1-8B"
BOX = ("--on", "dual_rtx4090")


@pytest.fixture
def one_offer(tmp_path: Path) -> tuple[str, str]:
    """`--prices` with one machine: the shipped list has fifty, which are weighed one after the other."""
    head = "provider,gpu,gpus,price_total_usd_h,price_per_gpu_usd_h,spot_total_usd_h,source,commit,data_date,notes\n"
    path = tmp_path / "prices.csv"
    path.write_text(f"{head}Mine,H100,1,1.11,1.11,,a talk,,2026-11-20,\n", encoding="utf-8")
    return "--prices", str(path)


def fit(*words: str):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(app, ["fit", *words], env={"COLUMNS": "80"})


def test_the_best_plan_comes_first_and_the_next_command_last() -> None:
    done = fit(LLAMA, *BOX, "--method", "lora")
    assert done.exit_code == 0
    assert done.stdout.startswith("RECOMMENDED  LoRA of Llama-3.1-8B on dual_rtx4090\n")
    assert done.stdout.splitlines()[-1].startswith(f"Next: tunekit fit {LLAMA} --on dual_rtx4090 --method lora --write")


def test_the_written_recipe_plans_and_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    words = (LLAMA, *BOX, "--method", "qlora", "--seq", "1024", "--tokens", "3M", "--write", str(file))
    done = fit(*words)
    assert f"Written to {file}. Next: tunekit launch {file}" in " ".join(done.stdout.split())
    plan = CliRunner().invoke(app, ["plan", str(file), "--json"])
    assert plan.exit_code == 0
    tree = json.loads(plan.stdout)
    found = json.loads(fit(*words[:-2], "--json").stdout)
    assert tree["memory"]["device"]["expected_bytes"] == found["recommended"]["device"]["expected_bytes"]
    assert tree["speed"]["run"] == found["recommended"]["run"]
    assert tree["job"]["max_seq_length"] == 1024
    again = fit(*words)
    assert again.exit_code != 0
    assert "exists and is not overwritten" in str(again.exception)


def test_where_nothing_fits_it_says_what_would_and_exits_with_3(tmp_path: Path) -> None:
    done = fit("meta-llama/Llama-2-70b-hf", *BOX, "--method", "lora", "--write", str(tmp_path / "no.yaml"))
    assert done.exit_code == 3
    assert done.stdout.startswith("NOTHING FITS  Llama-2-70b-hf on dual_rtx4090\n")
    assert "What would" in done.stdout
    assert "zero.nvme_path=" in done.stdout
    assert " --on a100_80gb\n" in done.stdout
    assert "=auto" not in done.stdout
    told = " ".join(done.stdout.split())
    assert re.search(
        r"The cheapest machine for the whole job: .+; 1 M tokens take .+ and cost [\d.]+ \$ at [\d.]+ \$/hour \(", told
    )
    assert f"{tmp_path / 'no.yaml'} was not written" in told
    tree = json.loads(fit("meta-llama/Llama-2-70b-hf", *BOX, "--method", "lora", "--json").stdout)
    assert tree["cheapest_machine"]["on_demand"]["usd"] > 0
    assert done.stdout.rstrip().endswith("--compare")
    assert not (tmp_path / "no.yaml").exists()


def test_a_comparison_that_was_printed_is_not_the_next_command(one_offer: tuple[str, str]) -> None:
    done = fit("meta-llama/Llama-2-70b-hf", *BOX, "--method", "lora", "--compare", *one_offer)
    assert done.stdout.rstrip().endswith("Nothing was started.")
    assert "Own or rent" in done.stdout


def test_keys_of_a_recipe_are_kept_and_the_data_tells_the_tokens(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("x" * 400_000)
    done = fit(LLAMA, *BOX, "method.kind=lora", "method.rank=64", "--data", str(data), "--epochs", "3", "--json")
    tree = json.loads(done.stdout)
    assert tree["tokens"] == 300_000
    assert tree["plan"]["job"]["adapter"]["rank"] == 64
    assert {each["method"] for each in tree["candidates"]} == {"lora"}
    assert tree["plan"]["recipe"]["train"]["num_epochs"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--goal", "beauty"), "--goal beauty"),
        (("--method", "dora"), "--method dora"),
        (("--tokens", "0"), "--tokens 0"),
        (("--tokens", "some"), "--tokens some: must be a number of tokens, such as 10M"),
        (("--trust", "nobody"), "--trust nobody"),
        (("train.micro_batch=1",), "micro_batch"),
        (("--data", "no/such"), "--tokens N"),
    ],
)
def test_wrong_words_are_one_clear_sentence(words: tuple[str, ...], said: str) -> None:
    done = fit(LLAMA, *BOX, *words)
    assert done.exit_code != 0
    assert said in str(done.exception)


def test_words_are_told_again_as_they_were_typed() -> None:
    asked = Asked(model="my model", overrides=("a.b=1",), on="box", tokens=5, goal="cost", trust="model")
    assert asked.typed == "tunekit fit 'my model' a.b=1 --on box --tokens 5 --goal cost --trust model"


def test_a_purchase_in_a_currency_that_nobody_knows_a_kwh_in_does_not_end_it(tmp_path: Path) -> None:
    shipped = files("tunekit.hardware").joinpath("profiles", "dual_rtx4090.yaml").read_text(encoding="utf-8")
    box = tmp_path / "box.yaml"
    box.write_text(shipped.replace("currency: CNY", "currency: GBP"), encoding="utf-8")
    done = fit("meta-llama/Llama-2-70b-hf", "--on", str(box), "--method", "lora")
    assert done.exit_code == 3
    assert "The cheapest machine for the whole job" in " ".join(done.stdout.split())


def test_the_money_of_a_plan_follows_what_was_typed_of_electricity(one_offer: tuple[str, str]) -> None:
    done = fit(LLAMA, *BOX, "--method", "lora", "--goal", "cost", "--own", "kwh=2", "--compare", *one_offer)
    assert done.exit_code == 0
    assert "electricity of 1,000 W at 2 CNY per kWh (as typed)" in " ".join(done.stdout.split())


def test_a_page_has_money_under_that_goal_and_the_next_command(tmp_path: Path, one_offer: tuple[str, str]) -> None:
    page = tmp_path / "fit.html"
    done = fit(LLAMA, *BOX, "--method", "lora", "--goal", "cost", "--html", str(page), *one_offer)
    assert done.exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert '<th scope="col" class="number">CNY</th>' in text
    assert "--goal cost --write my.yaml</pre>" in text
    again = fit("no/such-model", "--html", str(page))
    assert "exists and is not overwritten" in str(again.exception), "before anything is searched"


def test_a_page_needs_no_price_of_a_kwh_that_nobody_asked_for(tmp_path: Path) -> None:
    shipped = files("tunekit.hardware").joinpath("profiles", "dual_rtx4090.yaml").read_text(encoding="utf-8")
    box = tmp_path / "box.yaml"
    box.write_text(shipped.replace("currency: CNY", "currency: GBP"), encoding="utf-8")
    words = (LLAMA, "--on", str(box), "--method", "qlora", "--html", str(tmp_path / "fit.html"))
    assert fit(*words).exit_code == 0
    assert "Price of a million tokens" in (tmp_path / "fit.html").read_text(encoding="utf-8")
    assert "type kwh=" in str(fit(*words[:-1], str(tmp_path / "other.html"), "--compare").exception)
