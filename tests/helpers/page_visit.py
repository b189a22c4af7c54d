"""A report's page in a real browser, from disk. Who imports this is skipped where there is none."""

from __future__ import annotations

import shutil

import pytest

from reports.contents import Report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None:
    pytest.skip("no Chromium here (Debian: apt-get install chromium)", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

playwright.expect.set_options(timeout=60_000)
HOSTILE = "x</script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"


class Visit:
    """An open page, and everything that it did wrong."""

    def __init__(self, browser: playwright.Browser, report: Report, anchor: str = "", **settings: object) -> None:
        self.context = browser.new_context(**({"reduced_motion": "reduce"} | settings))
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        self.page.on("request", lambda request: self._check(request.url, report))
        self.page.goto(report.html.as_uri() + anchor)
        if settings.get("java_script_enabled", True):  # records are unpacked once the page is there
            self.page.locator("#table-runs input.pick").first.wait_for(state="attached")

    def _check(self, url: str, report: Report) -> None:
        if not url.startswith(("data:", report.html.as_uri())):
            self.faults.append(f"asked for {url}")

    def column(self, table: str, heading: str) -> list[str]:
        """The visible texts below a heading of the first table there."""
        return self.page.evaluate(
            """([table, heading]) => {
                const node = document.querySelector(`#table-${table} table`);
                const place = [...node.tHead.rows[0].cells].findIndex((cell) => cell.textContent === heading);
                const rows = [...node.tBodies[0].rows].filter((row) => row.offsetParent);
                return rows.map((row) => row.cells[place].textContent);
            }""",
            [table, heading],
        )

    def heading(self, table: str, heading: str) -> playwright.Locator:
        """The first heading of that name."""
        return self.page.locator(f"#table-{table} thead th", has_text=heading).first
