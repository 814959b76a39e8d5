"""The pages in a real browser: what is drawn, what a pointer and a keyboard find, and whether it can be read.

Needs `chromium` on the PATH (`apt-get install chromium`); without one the tests are skipped and say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from comparing import compared
from planning import CODELLAMA_34B, LLAMA_8B
from searching import searched

from tunekit.notebook import plan
from tunekit.planner.fit_recipe import recipe_text
from tunekit.render.pages.compare_view import compare_sections
from tunekit.render.plan_html import plan_page
from tunekit.render.search_html import search_html, search_page
from tunekit.units import format_bytes

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the `test` extra has it)")
Scheme = Literal["light", "dark"]
Open = Callable[..., Any]
WIDE, PHONE = 1200, 390
READABLE = 4.5
"""Least contrast of text to what is behind it (WCAG 2.2, AA)."""
CONTRASTS = Path(__file__).with_name("contrasts.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, driven over its DevTools protocol."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens HTML as a file; whatever the page loads, or complains of, fails the test."""
    contexts: list[Any] = []
    faults: list[str] = []

    def open_page(html: str, *, scheme: Scheme = "light", width: int = WIDE, **options: Any) -> Any:
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda said: faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: asked.url in (file.as_uri(), "data:,") or faults.append(asked.url))
        page.goto(file.as_uri())
        page.set_default_timeout(10_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def fit_page() -> str:
    """The page of every LoRA plan of an 8B model, with what renting costs."""
    return search_page(searched(LLAMA_8B, "lora"), compare_sections(compared(), date(2026, 11, 22)))


def test_a_plan_is_drawn_to_scale(opened: Open) -> None:
    made = plan("codellama34b_qlora")
    page = opened(plan_page(made))
    assert page.locator("h1").inner_text() == "QLoRA of CodeLlama-34b-hf on dual_rtx4090"
    track = page.locator(".bar.marked .track").first
    box = track.bounding_box()
    ends = [rect.bounding_box() for rect in track.locator("rect").all()]
    line = track.locator(".mark.usable").bounding_box()
    drawn = max(end["x"] + end["width"] for end in ends) - box["x"]
    share = made.memory.device.expected_bytes / made.memory.device.usable_bytes
    assert drawn / (line["x"] - box["x"]) == pytest.approx(share, abs=0.02)
    assert (
        page.locator(".bar.marked .bar-value")
        .first.inner_text()
        .startswith(format_bytes(made.memory.device.expected_bytes))
    )


def test_a_pointer_on_a_part_says_what_it_is_and_dims_the_others(opened: Open) -> None:
    page = opened(plan_page(plan("codellama34b_qlora")))
    page.locator(".track rect").first.hover()
    assert page.locator("#tip").inner_text() == "whole 4-bit base while loading 16.4 GiB"
    assert page.locator(".charts figure").first.locator("rect.dimmed").count() > 0
    page.locator("h1").hover()
    assert page.locator("#tip").is_hidden()
    assert page.locator(".dimmed").count() == 0


def test_the_keyboard_goes_through_the_parts_of_a_bar(opened: Open) -> None:
    page = opened(plan_page(plan("codellama34b_qlora")))
    track = page.locator(".track").first
    track.focus()
    said = []
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        said.append(page.locator("#tip").inner_text())
    assert said == ["whole 4-bit base while loading 16.4 GiB", "scales of the 4-bit base 503 MiB"]
    assert track.get_attribute("aria-label").startswith("load: 18.3 GiB, 78%.")


def test_details_open_when_they_are_clicked(opened: Open) -> None:
    page = opened(plan_page(plan("codellama34b_qlora")))
    cell = page.get_by_role("rowheader", name="CUDA context").first
    assert cell.is_hidden()
    page.get_by_role("heading", name="Every memory term").click()
    assert cell.is_visible()


def test_a_click_on_a_point_shows_its_plan_until_another_is_chosen(opened: Open, fit_page: str) -> None:
    page = opened(fit_page)
    frontier = searched(LLAMA_8B, "lora").frontier
    best = next(at for at, each in enumerate(frontier) if each is searched(LLAMA_8B, "lora").recommended)
    other = len(frontier) - 1 if best == 0 else 0
    card = page.locator(".plan-card:visible")
    assert card.get_attribute("data-plan") == str(best)
    page.locator(".point").nth(other).click(force=True)
    page.mouse.move(5, 5)
    assert card.get_attribute("data-plan") == str(other)
    rate = frontier[other].speed.tokens_per_second.expected
    assert f"{rate:,.0f} tokens/s" in card.inner_text()
    assert frontier[other].typed.split()[0] in card.locator("pre").inner_text()


def test_a_pointer_over_a_point_tells_it_and_leaving_brings_the_chosen_one_back(opened: Open, fit_page: str) -> None:
    page = opened(fit_page)
    card = page.locator(".plan-card:visible")
    before = card.get_attribute("data-plan")
    page.locator(".point:not(.recommended)").last.hover(force=True)
    assert card.get_attribute("data-plan") != before
    assert "tokens/s" in page.locator("#tip").inner_text()
    page.mouse.move(5, 5)
    assert card.get_attribute("data-plan") == before


def test_arrow_keys_go_from_plan_to_plan(opened: Open, fit_page: str) -> None:
    page = opened(fit_page)
    count = page.locator(".point").count()
    assert page.locator(".point[tabindex='0']").count() == 1
    page.locator(".point[tabindex='0']").focus()
    seen = set()
    for _ in range(count):
        page.keyboard.press("ArrowRight")
        seen.add(page.locator(".plan-card:visible").get_attribute("data-plan"))
        assert page.evaluate("document.activeElement.tabIndex") == 0
    assert len(seen) == count


def test_machines_to_rent_stand_beside_the_own_one(opened: Open, fit_page: str) -> None:
    page = opened(fit_page)
    section = page.locator("section", has=page.get_by_role("heading", name="Own or rent"))
    assert section.locator(".bar-name").all_inner_texts()[:3] == ["dual_rtx4090", "1 x H100", "2 x RTX 4090"]
    section.locator("rect").first.hover()
    assert page.locator("#tip").inner_text().startswith("electricity 0.0")
    row = section.get_by_role("row", name="1 x H100").first
    assert "325 days old" in row.inner_text()
    assert "1.50" in row.inner_text()


def test_the_recipe_can_be_copied(opened: Open, fit_page: str) -> None:
    page = opened(fit_page, permissions=["clipboard-read", "clipboard-write"])
    button = page.locator(".copy-button").last
    button.click()
    playwright.expect(button).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == recipe_text(searched(LLAMA_8B, "lora"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_everything_can_be_read(opened: Open, fit_page: str, tmp_path: Path, scheme: Scheme, width: int) -> None:
    page = opened(fit_page, scheme=scheme, width=width)
    for summary in page.locator("summary").all():
        summary.click()
    found = page.evaluate(CONTRASTS)
    assert len(found) > 200
    assert [said for ratio, said in found if ratio < READABLE] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = page.screenshot(path=tmp_path / f"fit_{scheme}_{width}.png", full_page=True)
    assert len(picture) > 50_000


@pytest.mark.parametrize("name", ["codellama34b_full", "quickstart"])
def test_rejected_plans_and_machines_without_cards_are_pages_too(opened: Open, name: str) -> None:
    page = opened(plan_page(plan(name)), scheme="dark")
    assert [said for ratio, said in page.evaluate(CONTRASTS) if ratio < READABLE] == []
    assert page.locator(".track").count() > 4


def test_where_nothing_fits_the_page_says_what_would(opened: Open) -> None:
    page = opened(search_page(searched(CODELLAMA_34B, "full")))
    assert page.locator(".badge").first.inner_text() == "nothing fits"
    assert page.get_by_role("heading", name="What to change").is_visible()


@pytest.mark.parametrize("ground", ["#fff", "#111"])
def test_a_notebook_s_piece_is_read_on_light_and_on_dark(opened: Open, ground: str) -> None:
    ink = "#111" if ground == "#fff" else "#eee"
    piece = search_html(searched(LLAMA_8B, "lora"))
    page = opened(f"<!doctype html><body style='background:{ground};color:{ink}'><main>{piece}</main></body>")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 100
    assert [said for ratio, said in found if ratio < READABLE] == []
    assert page.locator(".point title").count() > 0
