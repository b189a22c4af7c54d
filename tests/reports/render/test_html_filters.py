"""The page's filters, and the address that keeps them, in a real browser."""

from __future__ import annotations

from urllib.parse import parse_qsl

from reports.contents import Report
from tests.helpers.page_visit import HOSTILE, Visit, playwright

ALL = 7
"""Methods of the page."""


def choose(visit: Visit, facet: str, *labels: str) -> None:
    """Opens a facet and clicks these of its boxes."""
    visit.page.locator(f".facet[data-key={facet}] summary").click()
    for label in labels:
        visit.page.locator(f".facet[data-key={facet}] label", has_text=label).click()
    visit.page.keyboard.press("Escape")


def address(visit: Visit) -> dict[str, str]:
    return dict(parse_qsl(visit.page.evaluate("location.hash").removeprefix("#")))


def test_a_facet_keeps_rows_that_a_run_of_the_method_is_behind(visit: Visit):
    choose(visit, "method", "sef")
    assert visit.column("head_to_head", "method") == ["sef"]
    assert visit.column("profile", "method") == ["sef"]
    assert all("sef" in name for name in visit.column("runs", "run"))
    choose(visit, "method", "plain")
    assert set(visit.column("head_to_head", "method")) == {"sef", "plain"}
    assert visit.page.locator(".facet[data-key=method] summary").text_content() == "Method: 2"


def test_facets_of_several_kinds_narrow_and_leave_rows_without_such_a_value(visit: Visit):
    choose(visit, "dataset", "dogs")
    assert {name.split("-")[0] for name in visit.column("runs", "run")} == {"dogs", "profile"}
    choose(visit, "method", "plain")
    assert len(visit.column("runs", "run")) == 61, "60 seeds and the profile, which has no dataset"


def test_only_what_differs_between_runs_is_offered(visit: Visit):
    keys = visit.page.locator(".facet").evaluate_all("nodes => nodes.map((node) => node.dataset.key)")
    assert keys == ["method", "dataset"]
    texts = visit.page.locator(".facet[data-key=method] label").all_text_contents()
    assert HOSTILE in [text.strip() for text in texts]


def test_a_copied_address_shows_the_same_rows(browser: playwright.Browser, visit: Visit, report: Report):
    choose(visit, "method", "sef", "ws_dan")
    visit.page.fill("#filter-all", "resnet50 sef")
    visit.page.wait_for_url(lambda url: "find=" in url)
    other = Visit(browser, report, visit.page.evaluate("location.hash"))
    playwright.expect(other.page.locator("#filter-all")).to_have_value("resnet50 sef")
    assert other.column("head_to_head", "method") == visit.column("head_to_head", "method") == ["sef"]
    assert other.page.locator(".facet[data-key=method] input:checked").count() == 2
    assert other.faults == []
    other.context.close()


def test_back_takes_the_last_choice_away(visit: Visit):
    choose(visit, "method", "sef")
    choose(visit, "method", "plain")
    visit.page.go_back()
    assert address(visit) == {"method": "sef"}
    assert visit.column("head_to_head", "method") == ["sef"]
    visit.page.go_back()
    assert len(visit.column("head_to_head", "method")) == ALL
    visit.page.go_forward()
    assert visit.column("head_to_head", "method") == ["sef"]


def test_a_link_to_a_chapter_keeps_the_filters(visit: Visit):
    choose(visit, "method", "sef")
    visit.page.locator("nav a", has_text="Profile").click()
    visit.page.wait_for_url(lambda url: "at=" in url)
    assert address(visit) == {"at": "profile", "method": "sef"}
    assert visit.column("head_to_head", "method") == ["sef"]


def test_an_address_may_name_a_place_beside_filters(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, "#at=profile&method=sef", viewport={"width": 1280, "height": 600})
    assert visit.page.evaluate("scrollY") > 0
    visit.context.close()


def test_what_the_page_does_not_have_is_ignored_in_an_address(browser: playwright.Browser, report: Report):
    for anchor in (
        "#method=nonsense&other=1",
        "#method=%E0%A4%A",
        "#run=nothing",
        "#compare=a,b",
        "#%E0%A4%A",
        "#r99999",
    ):
        visit = Visit(browser, report, anchor)
        assert len(visit.column("head_to_head", "method")) == ALL, anchor
        assert visit.page.locator("dialog[open]").count() == 0
        assert visit.faults == []
        visit.context.close()


def test_clear_shows_all_rows_again(visit: Visit):
    clear = visit.page.locator("#clear")
    assert not clear.is_visible()
    choose(visit, "method", "sef")
    visit.page.fill("#filter-all", "sef")
    clear.click()
    assert len(visit.column("head_to_head", "method")) == ALL
    assert visit.page.evaluate("location.hash") == ""
    assert visit.page.input_value("#filter-all") == ""


def test_a_table_without_a_matching_row_says_so(visit: Visit):
    visit.page.fill("#filter-all", "nothing has this")
    playwright.expect(visit.page.locator("#table-head_to_head .count").first).to_have_text("0 of 7 rows")
    assert not visit.page.locator("#table-head_to_head table").first.is_visible()


def test_words_find_rows_by_what_their_runs_are_called_in_settings(visit: Visit):
    """The heading of its part, not the row, names the dataset."""
    visit.page.fill("#filter-all", "dogs")
    playwright.expect(visit.page.locator("#table-runs .count")).to_have_text("60 of 76 rows")
    assert visit.column("head_to_head", "method") == []
    assert visit.page.locator("#table-head_to_head tbody tr:visible").count() == 1
