"""The essentials of a record beside its number, and the way to every number by keyboard, in a real browser."""

from __future__ import annotations

import pytest

from reports.contents import Report
from tests.helpers.page_visit import Visit, playwright


@pytest.fixture
def number(visit: Visit) -> playwright.Locator:
    row = visit.page.locator("#table-head_to_head tr", has_text="bilinear_cnn").first
    return row.locator("td:not(.x)", has_text="85.0 ± 0.0").locator("a")


def preview(visit: Visit) -> playwright.Locator:
    return visit.page.locator("#preview")


def test_pointing_at_a_number_shows_the_essentials_of_its_record(visit: Visit, number: playwright.Locator):
    number.hover()
    playwright.expect(preview(visit)).to_be_visible()
    names, values = (preview(visit).locator(tag).all_text_contents() for tag in ("dt", "dd"))
    assert dict(zip(names, values, strict=True)) == {
        "Run": "bilinear_cnn, seed 0",
        "top-1 by seed, %": "0: 85.00; 1: 85.00",
        "started": "2026-01-02 00:00 UTC",
        "device": "NVIDIA H200",
        "commit": "abc1234",
    }
    assert number.get_attribute("aria-describedby") == "preview"


def test_the_pointer_can_move_onto_the_essentials_and_to_the_full_record(visit: Visit, number: playwright.Locator):
    number.hover()
    preview(visit).get_by_text("The full record").click()
    assert visit.page.locator("#record").is_visible()
    assert not preview(visit).is_visible()


def test_escape_or_leaving_hides_the_essentials(visit: Visit, number: playwright.Locator):
    number.hover()
    playwright.expect(preview(visit)).to_be_visible()
    visit.page.keyboard.press("Escape")
    assert not preview(visit).is_visible()
    assert number.get_attribute("aria-describedby") is None
    visit.page.locator("h1").hover()
    number.hover()
    playwright.expect(preview(visit)).to_be_visible()
    visit.page.locator("h1").hover()
    playwright.expect(preview(visit)).not_to_be_visible()


def test_the_keyboard_reaches_each_number_and_its_essentials(visit: Visit):
    row = visit.page.locator("#table-head_to_head tbody tr").first
    visit.heading("head_to_head", "method").locator("button").focus()
    row.locator("th a").focus()
    visit.page.keyboard.press("ArrowRight")
    first = row.locator("td a:visible").first
    assert first.evaluate("node => node === document.activeElement")
    playwright.expect(preview(visit)).to_be_visible()
    visit.page.keyboard.press("ArrowDown")
    assert first.evaluate("node => node.closest('tr').nextElementSibling.contains(document.activeElement)")
    visit.page.keyboard.press("ArrowUp")
    visit.page.keyboard.press("ArrowLeft")
    assert row.locator("th a").evaluate("node => node === document.activeElement")


def test_the_essentials_stay_in_the_window(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, viewport={"width": 900, "height": 500})
    last = visit.page.locator("#table-head_to_head tbody a:visible").last
    last.hover()
    playwright.expect(preview(visit)).to_be_visible()
    box = preview(visit).bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 900
    assert box["y"] + box["height"] <= 500
    visit.context.close()


def test_a_tap_opens_the_record_without_the_essentials(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, has_touch=True, viewport={"width": 380, "height": 800})
    visit.page.locator("#table-head_to_head tbody td a:visible").first.tap()
    assert visit.page.locator("#record").is_visible()
    assert not preview(visit).is_visible()
    visit.context.close()
