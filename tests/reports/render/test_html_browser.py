"""The HTML page in a real browser, from disk: no outside request, sorting, filters, records, accessibility."""

from __future__ import annotations

import pytest

from reports.contents import Report
from tests.helpers.page_visit import Visit, playwright

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

WIDTHS = (380, 900, 1600)


def test_opens_from_disk_without_an_error_or_an_outside_request(visit: Visit):
    assert visit.page.title() == "Birds · fgbench"
    assert visit.page.evaluate("window.hacked") is None
    images = visit.page.locator("figure img")
    assert images.count() >= 2
    assert images.evaluate_all("nodes => nodes.every((node) => node.naturalWidth > 0)")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_of_the_window(browser: playwright.Browser, report: Report, width: int):
    visit = Visit(browser, report, viewport={"width": width, "height": 900})
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    visit.page.locator("#table-head_to_head tbody th a").first.click()
    box = visit.page.locator("#record").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    visit.context.close()


def test_a_phone_shows_method_and_accuracy_first_and_that_there_is_more(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, viewport={"width": 390, "height": 844})
    table = visit.page.locator("#table-head_to_head .scroll").first
    method, accuracy = visit.heading("head_to_head", "method"), visit.heading("head_to_head", "top-1 last epoch, %")
    before, seen = method.bounding_box(), accuracy.bounding_box()
    assert before is not None
    assert seen is not None
    assert seen["x"] + seen["width"] <= 390
    assert table.evaluate("node => node.scrollWidth > node.clientWidth")
    assert table.evaluate("node => getComputedStyle(node).backgroundAttachment") == "local, scroll", (
        "a shade where it ends"
    )
    table.evaluate("node => { node.scrollLeft = node.scrollWidth; }")
    after = method.bounding_box()
    assert after is not None
    assert after["x"] == before["x"]
    visit.context.close()


def test_a_heading_sorts_numbers_as_numbers_both_ways(visit: Visit):
    visit.heading("head_to_head", "method").locator("button").click()
    heading = visit.heading("head_to_head", "top-1 last epoch, %")
    for order, ascending in (("descending", False), ("ascending", True)):
        heading.locator("button").click()
        shown = [float(text.split()[0]) for text in visit.column("head_to_head", "top-1 last epoch, %")]
        assert shown == sorted(shown, reverse=not ascending)
        assert heading.get_attribute("aria-sort") == order
    assert {9.5, 80.0} <= set(shown)
    assert visit.page.locator("#table-head_to_head [aria-sort]").count() == 1, "only the last sorted heading says so"


def test_missing_values_are_sorted_last_both_ways(visit: Visit):
    for _ in range(2):
        visit.heading("head_to_head", "inference, images/s").locator("button").click()
        shown = visit.column("head_to_head", "inference, images/s")
        assert shown[-1] == "–"
        assert "–" not in shown[:2]


def test_one_filter_keeps_the_rows_of_all_tables_that_hold_every_word(visit: Visit):
    visit.page.fill("#filter-all", "SEF resnet50")
    count = visit.page.locator("#table-head_to_head .count").first
    playwright.expect(count).to_have_text("1 of 7 rows")
    assert visit.column("head_to_head", "method") == ["sef"]
    assert visit.column("profile", "method") == ["sef"]
    visit.page.fill("#filter-all", "")
    playwright.expect(count).to_have_text("")
    assert len(visit.column("head_to_head", "method")) == 7


def test_a_tables_own_filter_leaves_the_others_alone(visit: Visit):
    before = visit.column("profile", "method")
    visit.page.locator("#table-head_to_head .filter").first.fill("ws_")
    assert visit.column("head_to_head", "method") == ["ws_dan"]
    assert visit.column("profile", "method") == before


def test_a_long_table_shows_its_first_rows_until_asked_or_filtered(visit: Visit):
    assert len(visit.column("runs", "run")) == 40
    assert visit.page.locator("#table-runs .count").text_content() == "40 of 76 rows"
    visit.page.locator("#table-runs .filter").fill("dogs")
    assert len(visit.column("runs", "run")) == 60
    visit.page.locator("#table-runs .filter").fill("")
    visit.page.locator("#table-runs .whole").click()
    assert len(visit.column("runs", "run")) == 76


def test_all_columns_are_shown_on_demand(visit: Visit):
    top5 = visit.heading("head_to_head", "top-5, %")
    assert not top5.is_visible()
    button = visit.page.locator("#table-head_to_head .extra").first
    button.click()
    assert top5.is_visible()
    assert button.get_attribute("aria-pressed") == "true"


def test_a_number_shows_its_record_and_the_other_seeds(visit: Visit):
    row = visit.page.locator("#table-head_to_head tr", has_text="bilinear_cnn").first
    row.locator("td:not(.x)", has_text="85.0 ± 0.0").locator("a").click()
    record = visit.page.locator("#record")
    assert record.is_visible()
    assert "bilinear_cnn" in (visit.page.locator("#record-title").text_content() or "")
    texts = record.locator(".part h3").all_text_contents()
    assert {"Run", "History", "Predictions of the last epoch", "Settings", "Hardware"} <= set(texts)
    assert record.locator("svg.plot").count() == 2
    record.get_by_text("bilinear_cnn, seed 1").click()
    assert record.locator(".part").first.locator("tr", has_text="seed").locator("td").text_content() == "1"
    visit.page.keyboard.press("Escape")
    assert not record.is_visible()


def test_a_rate_shows_the_profile_it_comes_from(visit: Visit):
    visit.page.locator("#table-head_to_head tr", has_text="sef").first.get_by_text("300 (n=1)", exact=True).click()
    assert visit.page.locator("#record-title").text_content() == "profile-sef-paper-64"


def test_an_address_with_a_run_opens_its_record(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, "#run-profile-sef-paper-64")
    assert visit.page.locator("#record").is_visible()
    visit.page.locator("#record .close").click()
    visit.page.wait_for_url(lambda url: "#" not in url)  # the event and the new address come later
    visit.context.close()


def test_the_keyboard_alone_reaches_content_sorts_and_opens_a_record(visit: Visit):
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "content"
    heading = visit.heading("head_to_head", "method")
    heading.locator("button").focus()
    visit.page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    link = visit.page.locator("#table-head_to_head tbody th a").first
    link.focus()
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("#record").is_visible()
    assert visit.page.evaluate("document.querySelector('#record').contains(document.activeElement)")
    visit.page.keyboard.press("Escape")
    assert link.evaluate("node => node === document.activeElement")


def test_figures_zoom(visit: Visit):
    visit.page.locator("button.zoom").first.click()
    image = visit.page.locator("#zoom img")
    before = image.bounding_box()
    visit.page.keyboard.press("+")
    after = image.bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] == pytest.approx(1.5 * before["width"], rel=0.05)
    visit.page.keyboard.press("Escape")
    assert not visit.page.locator("#zoom").is_visible()


def background(visit: Visit) -> str:
    return visit.page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_light_and_dark_follow_the_system_until_switched(browser: playwright.Browser, report: Report):
    light, dark = (Visit(browser, report, color_scheme=scheme) for scheme in ("light", "dark"))
    assert background(light) != background(dark)
    light.page.click("#theme")
    assert background(light) == background(dark)
    light.page.reload()
    assert background(light) == background(dark)
    light.page.emulate_media(media="print")
    dark.page.emulate_media(media="print")
    assert background(light) == background(dark)
    for visit in (light, dark):
        visit.context.close()


def test_printed_pages_have_no_controls(visit: Visit):
    visit.page.emulate_media(media="print")
    assert not visit.page.locator(".top").is_visible()
    for controls in (".controls", ".facet", "#table-runs .pick"):
        assert not visit.page.locator(controls).first.is_visible()
    assert visit.page.locator("#table-head_to_head tbody tr").first.is_visible()


def test_what_columns_mean_is_told_below_the_table(visit: Visit):
    told = visit.page.locator("#table-head_to_head .meanings")
    meaning = told.get_by_text("the test set chose the epoch")
    assert not meaning.is_visible()
    told.locator("summary").click()
    assert meaning.is_visible()


def test_tables_and_figures_can_be_read_without_javascript(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, java_script_enabled=False)
    assert visit.page.locator("#table-runs tbody tr").nth(70).is_visible()
    assert visit.heading("head_to_head", "top-5, %").is_visible()
    assert not visit.page.locator(".tools").is_visible()
    visit.context.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(browser: playwright.Browser, report: Report, scheme: str, width: int):
    # The page's own policy forbids the checker's script, as it should.
    size = {"width": width, "height": 900}
    visit = Visit(browser, report, color_scheme=scheme, bypass_csp=True, viewport=size)
    checker = axe.Axe()
    found = [checker.run(visit.page)]
    visit.page.locator(".facet summary").first.click()
    visit.page.locator(".facet[open] label", has_text="sef").click()
    found.append(checker.run(visit.page, context="header"))
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    visit.page.locator("#table-head_to_head tbody th a:visible").first.hover()
    playwright.expect(visit.page.locator("#preview")).to_be_visible()
    found.append(checker.run(visit.page))
    visit.page.locator("#table-head_to_head tbody th a:visible").first.click()
    found.append(checker.run(visit.page, context="#record"))
    visit.page.fill("#compare-with", "cub100-common-plain-paper-resnet50-448-10-0")
    visit.page.locator("#comparison details").first.wait_for()
    found.append(checker.run(visit.page, context="#comparison"))
    visit.page.keyboard.press("Escape")
    visit.page.locator("button.zoom").first.click()
    found.append(checker.run(visit.page, context="#zoom"))
    assert [one.generate_report() for one in found if one.violations_count] == []
    visit.context.close()


def test_a_page_that_asks_for_something_would_be_noticed(browser: playwright.Browser, report: Report):
    """The checks above can fail."""
    text = report.html.read_text().replace("<main", '<img src="other.png"><main').replace('"use strict"', "nothing.at")
    (report.html.parent / "spoilt.html").write_text(text)
    visit = Visit(browser, report)
    visit.page.goto((report.html.parent / "spoilt.html").as_uri())
    assert len(visit.faults) >= 2
    visit.context.close()
