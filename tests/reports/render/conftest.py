"""What tests of pages share. Those in a browser import `tests.helpers.page_visit`, which skips them without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reports.contents import Report
from reports.report import write_report
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, profiled, trained

if TYPE_CHECKING:
    from tests.helpers.page_visit import Visit


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Where a page with README blocks may be written."""
    return tmp_path / "page.md"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    from tests.helpers.page_visit import HOSTILE

    folder = tmp_path_factory.mktemp("page")
    store = ResultStore(folder / "results")
    tops = {
        "plain": 0.8,
        "sef": 0.095,
        "bilinear_cnn": 0.85,
        "ws_dan": 0.7,
        "dfl_cnn": 0.6,
        "swinfc": 0.5,
        HOSTILE: 0.4,
    }
    records = [trained(method, seed, top1) for method, top1 in tops.items() for seed in range(2)]
    records += [trained("plain", seed, 0.5, dataset="dogs") for seed in range(60)]
    fill(store, [*records, profiled("plain"), profiled("sef", 300.0)], 40)
    return write_report(store, folder / "report", "Birds")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from tests.helpers.page_visit import BROWSER, playwright

    with playwright.sync_playwright() as running:
        # As root, in a container, Chromium's sandbox does not start; the page is our own.
        browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, report: Report) -> Iterator[Visit]:
    from tests.helpers.page_visit import Visit

    visit = Visit(browser, report, viewport={"width": 1280, "height": 900})
    yield visit
    assert visit.faults == []
    visit.context.close()
