"""Two Runs side by side on the page, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.contents import Report
from reports.report import write_report
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, history, predictions, profiled, trained
from tests.helpers.page_visit import Visit, playwright

A, B = "cub100-common-plain-paper-resnet50-448-10-0", "cub100-common-sef-paper-resnet50-448-10-0"
MARK = "<img src=x onerror='window.hacked=3'>.jpg"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("compare")
    store = ResultStore(folder / "results")
    first = [True] * 60 + [True] * 55 + [False] * 3 + [False] * 2
    second = [True] * 60 + [False] * 55 + [True] * 3 + [False] * 2
    for method, top1, right, rate in (("plain", 0.958, first, 0.01), ("sef", 0.525, second, 0.02)):
        table = predictions(right)
        table.loc[115, "image"] = MARK
        record = trained(method, 0, top1, recipe={"optimizer": {"lr": rate}})
        store.write(record, history(0, 10, top1), table)
    fill(store, [trained("ws_dan", dataset="dogs"), profiled("plain"), profiled("sef", 1000.0)], 30)
    return write_report(store, folder / "report", "Two")


@pytest.fixture
def compared(browser: playwright.Browser, report: Report) -> Visit:
    visit = Visit(browser, report, f"#compare={A},{B}", viewport={"width": 1280, "height": 900})
    playwright.expect(part(visit, "Images that only one gets right").locator("summary").first).to_be_visible()
    yield visit
    assert visit.faults == []
    visit.context.close()


def part(visit: Visit, title: str) -> playwright.Locator:
    heading = visit.page.get_by_role("heading", name=title, exact=True)
    return visit.page.locator("#comparison section", has=heading)


def rows(visit: Visit, title: str, *, folded: bool = False) -> list[list[str]]:
    place = "details" if folded else "> .scroll"
    return (
        part(visit, title)
        .locator(f"{place} tbody tr")
        .evaluate_all("rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))")
    )


def test_settings_that_differ_stand_side_by_side_and_equal_ones_are_folded(compared: Visit):
    assert rows(compared, "Settings") == [["method", "plain", "sef"], ["recipe.optimizer.lr", "0.01", "0.02"]]
    assert ["recipe.batch_size", "32"] in rows(compared, "Settings", folded=True)
    folded = part(compared, "Settings").locator("details table")
    assert not folded.is_visible()
    part(compared, "Settings").locator("summary").click()
    assert folded.is_visible()


def test_accuracies_have_their_difference(compared: Visit):
    assert ["last: top-1, %", "95.80", "52.50", "−43.30"] in rows(compared, "Accuracy on the test set")


def test_curves_of_both_are_in_one_plot(compared: Visit):
    plots = part(compared, "Curves").locator("svg")
    assert plots.evaluate_all("nodes => nodes.map((node) => node.getAttribute('aria-label'))") == [
        "training loss of A and B, epochs 1 to 10",
        "test top-1, % of A and B, epochs 1 to 10",
    ]
    assert plots.first.locator("polyline").count() == 2


def test_images_that_only_one_gets_right_are_counted_and_the_first_named(compared: Visit):
    images = part(compared, "Images that only one gets right")
    assert images.locator("p").first.text_content() == "Of 120 images, both get 60 right and 2 wrong."
    assert images.locator("summary").all_text_contents() == [
        "Only A is right: 55, of which the first 50",
        "Only B is right: 3",
    ]
    names = images.locator("details").nth(1).locator("tbody tr").all_text_contents()
    assert sorted(names) == sorted([MARK, "image 116.jpg", "image 117.jpg"])
    assert compared.page.evaluate("window.hacked") is None


def test_a_record_offers_the_other_runs_of_its_kind(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, f"#run={A}")
    offered = visit.page.locator("#others option").evaluate_all("nodes => nodes.map((node) => node.value)")
    assert offered[0] == B, "those on its dataset come first"
    assert len(offered) == 2, "no profile"
    visit.page.fill("#compare-with", B)
    playwright.expect(visit.page.locator("#comparison")).to_be_visible()
    assert visit.page.evaluate("location.hash") == f"#compare={A},{B}"
    assert not visit.page.locator("#record").is_visible()
    visit.page.go_back()
    playwright.expect(visit.page.locator("#record-title")).to_have_text(A)
    visit.context.close()


def test_two_boxes_of_the_table_of_runs_start_a_comparison(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report)
    start = visit.page.locator("#table-runs button.pick")
    assert start.is_disabled()
    for run in (B, A, "profile-plain-paper-64", A, A):
        visit.page.get_by_label(f"Compare {run}", exact=True).click()
    picked = visit.page.locator("#table-runs input:checked").evaluate_all(
        "nodes => nodes.map((node) => node.ariaLabel)"
    )
    assert set(picked) == {f"Compare {A}", "Compare profile-plain-paper-64"}, "a third one takes the place of the first"
    start.click()
    assert visit.page.locator("#comparison").is_visible()
    assert part(visit, "Images that only one gets right").get_by_text("not stored for both").count() == 1
    visit.page.keyboard.press("Escape")
    visit.page.wait_for_url(lambda url: "#" not in url)
    visit.context.close()


def test_profiles_are_compared_by_their_speed(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, "#compare=profile-plain-paper-64,profile-sef-paper-64")
    assert ["images_per_s", "2000", "1000", "−1000"] in rows(visit, "Speed, inference")
    visit.context.close()


def test_runs_on_other_images_are_not_compared_image_by_image(browser: playwright.Browser, report: Report):
    visit = Visit(browser, report, f"#compare={A},dogs-common-ws_dan-paper-resnet50-448-10-0")
    told = part(visit, "Images that only one gets right").locator("p")
    playwright.expect(told).to_have_text("The two were tested on different images.")
    visit.context.close()


def test_a_side_leads_to_its_record(compared: Visit):
    compared.page.locator(".sides button").nth(1).click()
    playwright.expect(compared.page.locator("#record-title")).to_have_text(B)
    assert not compared.page.locator("#comparison").is_visible()


def test_answers_without_room_are_left_out_and_the_comparison_says_so(
    browser: playwright.Browser, report: Report, tmp_path: Path
):
    text = report.html.read_text(encoding="utf-8")
    assert 'id="images-0"' in text
    (tmp_path / "page.html").write_text(text.replace('id="images-0"', 'id="none"'), encoding="utf-8")
    visit = Visit(browser, report)
    visit.page.goto((tmp_path / "page.html").as_uri() + f"#compare={A},{B}")
    assert part(visit, "Images that only one gets right").get_by_text("to keep this page small").count() == 1
    visit.context.close()
