"""The HTML page shows the tables, links numbers to records, loads no other file, and runs no foreign script."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reports import report as reporting
from reports.cell_format import Column
from reports.contents import Report, SavedFigure, Table
from reports.render import html_figures
from reports.render.chapters import chapters
from reports.render.html_records import EPOCHS_OF_ALL, FEWEST, records_data
from reports.report import write_report
from reports.run_files import RunFiles
from results import integrity
from results.store import ResultStore
from results.stored_tables import Columns
from tests.helpers.fakes.fake_results import SPLIT, columns, failed, fill, history, predictions, profiled, trained
from tests.helpers.report_reader import PageReader

HOSTILE = "a\"b'c</script><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} &lt;"
CLASSES = SPLIT | {"class_names": ["</script><script>alert(3)</script>", "<b>bird</b>"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    store = ResultStore(tmp_path_factory.mktemp("results"))
    published = [{"metric": "top1", "value": 84.1, "table": "2", "source": "a paper", "verified": True}]
    records = [trained("plain", seed, 0.8 + seed / 100, split=CLASSES, published=published) for seed in range(2)]
    records += [trained("sef", seed, 0.7) for seed in range(2)]
    records += [
        trained("sef", variant="no_loss"),
        trained(HOSTILE),
        profiled("plain"),
        failed("ws_dan", traceback="a\nb"),
    ]
    fill(store, records, 60)
    return store


@pytest.fixture(scope="module")
def report(store: ResultStore, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write_report(store, tmp_path_factory.mktemp("report"), f"Birds {HOSTILE}")


@pytest.fixture(scope="module")
def page(report: Report) -> PageReader:
    return PageReader(report.html)


def test_page_reads_summary_then_jobs_then_records(page: PageReader):
    headings = [
        "Birds a",
        "8 Runs: 7 done, 1 failed",
        "Reproduce Does",
        "Compare Which",
        "Profile What",
        "Records Where",
    ]
    assert [page.text.index(words) for words in headings] == sorted(page.text.index(words) for words in headings)


def test_hostile_names_stay_text(page: PageReader):
    kinds = [values.get("type", "") for tag, values in page.tags if tag == "script"]
    assert kinds == ["text/plain"] * (len(kinds) - 1) + [""], "one script, after its data"
    assert not [tag for tag, values in page.tags if "onerror" in values or tag == "b"]
    assert HOSTILE in page.text
    assert "</script><script>alert(3)</script>" in str(
        page.record(ids(page, "plain")[0])["Predictions of the last epoch"]
    )


def test_only_the_pages_own_script_and_style_may_be_used(page: PageReader):
    (policy,) = [v["content"] for tag, v in page.tags if v.get("http-equiv") == "Content-Security-Policy"]
    allowed = dict(rule.split(" ", 1) for rule in policy.split("; "))
    digest = {
        kind: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for kind, text in (("script-src", page.scripts[-1]), ("style-src", page.styles[0]))
    }
    assert allowed == {"default-src": "'none'", "img-src": "data:"} | {
        kind: f"'sha256-{value}'" for kind, value in digest.items()
    }


def test_page_needs_no_other_file_and_no_network(page: PageReader):
    sources = [values["src"] for _, values in page.tags if "src" in values]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert not [values for tag, values in page.tags if tag == "link" or values.get("href", "").startswith("http")]
    assert not re.search(r"@import|url\(", page.styles[0])


def test_links_lead_to_files_that_exist_or_to_anchors_of_the_page(page: PageReader, report: Report):
    addresses = {address for _, address in page.links}
    files = {address for address in addresses if not address.startswith("#")}
    assert "head_to_head.csv" in files
    assert all((report.html.parent / address).is_file() for address in files)
    assert {address[1:] for address in addresses - files} <= {v["id"] for _, v in page.tags if "id" in v}


def test_same_records_give_the_same_bytes(store: ResultStore, report: Report, tmp_path: Path):
    assert write_report(store, tmp_path, report.title).html.read_bytes() == report.html.read_bytes()


def ids(page: PageReader, method: str) -> list[str]:
    return [run for run, shown in page.data["runs"].items() if shown["label"].startswith(f"{method}, ")]


def run_of(page: PageReader, number: str) -> str:
    """The Run that a link or a row means by its number."""
    (run,) = [run for run, shown in page.data["runs"].items() if shown["number"] == int(number.removeprefix("#r"))]
    return run


def test_a_measured_number_links_to_its_record(page: PageReader):
    (row,) = [row for row in page.rows["head_to_head"] if row["method"][0] == "plain"]
    seeds = [run for run in ids(page, "plain") if "seed" in page.data["runs"][run]["label"]]
    assert run_of(page, row["top-1 last epoch, %"][1]) == seeds[0]
    assert run_of(page, row["inference, images/s"][1]) == "profile-plain-paper-64"
    rows = [values["data-runs"].split() for _, values in page.tags if "data-runs" in values]
    assert [*seeds, "profile-plain-paper-64"] in [[run_of(page, number) for number in numbers] for numbers in rows]


@pytest.mark.parametrize("table", ["paper", "ablation", "head_to_head", "paired", "wins", "profile", "runs"])
def test_rows_of_every_table_link_to_their_runs(page: PageReader, table: str):
    assert page.rows[table]
    cells = [cell for row in page.rows[table] for cell in row.values()]
    numbers = [cell for cell in cells if re.fullmatch(r"[+-]?\d+\.\d.*", cell[0])]
    names = [cell for cell in cells if cell[0] in page.data["runs"]]
    linked = [run_of(page, cell[1]) for cell in (numbers if table != "runs" else names) if cell[1]]
    assert linked


def test_names_and_dashes_are_no_links(page: PageReader):
    (row,) = [row for row in page.rows["head_to_head"] if row["method"][0] == "ws_dan"]
    assert row["top-1 last epoch, %"] == ("–", "")
    assert row["variant"][1] == ""
    (itself,) = [cell for row in page.rows["wins"] for cell in row.values() if cell[0] == "·"][:1]
    assert itself[1] == ""


def test_a_blank_in_a_column_of_numbers_is_no_link(tmp_path: Path):
    store = ResultStore(tmp_path / "results")
    store.prepare()
    fill(store, [profiled("plain"), profiled("sef", 1000)])
    page = PageReader(write_report(store, tmp_path / "out", "Two").html)
    cells = {row["method"][0]: row["of plain, %"] for row in page.rows["profile"][-2:]}
    assert cells["plain"] == ("", "")
    assert cells["sef"][0] == "≈ 50"
    assert cells["sef"][1]


def test_a_record_has_settings_commit_hardware_history_and_predictions(page: PageReader):
    record = page.record(ids(page, "plain")[1])
    assert ["recipe.batch_size", "32"] in record["Settings"]
    assert ["commit", "abc1234"] in record["Code and versions"]
    assert ["name", "NVIDIA H200"] in record["Hardware"]
    assert ["seed", "1"] in record["Run"]
    assert record["Accuracy on the test set"][0][:3] == ["last", "10", "81.00"]
    assert len(record["History"]) == 10
    assert record["Predictions of the last epoch"][0][1].endswith("%)")


def test_a_failed_run_says_why(page: PageReader):
    record = page.record(ids(page, "ws_dan")[0])
    assert ["error", "CUDA out of memory"] in record["Run"]
    assert ["text", "a\nb"] in record["Traceback"]


def test_seeds_share_what_they_have_in_common(page: PageReader):
    first, second = (page.data["runs"][run]["parts"] for run in ids(page, "plain")[:2])
    titles = {page.data["parts"][place]["title"] for place in set(first) & set(second)}
    assert {"Settings", "Hardware", "Code and versions", "Split"} <= titles


def test_values_that_the_page_does_not_know_are_shown_too(store: ResultStore):
    record = trained("plain", notes=["memory ran out once"], state={"before": {"clocks": [{"sm": 1}]}})
    data = records_data([record], RunFiles(store, []))
    (rows,) = [part["rows"] for part in data["parts"] if part["title"] == "Also recorded"]
    assert ["notes", "memory ran out once"] in rows
    assert ["state.before.clocks.1.sm", "1"] in rows


class ManyEpochs(RunFiles):
    """Every Run has a history of 500 epochs."""

    def history(self, run_id: str) -> Columns:
        return columns(history(epochs=500))


def test_histories_of_many_runs_stay_small_and_keep_first_last_and_selected_epochs(store: ResultStore):
    records = [trained("plain", seed) for seed in range(1000)]
    for record in records:
        record.metrics["best_on_test"].epoch = 123
    data = records_data(records, ManyEpochs(store, []))
    parts = [part for part in data["parts"] if part["title"] == "History"]
    epochs = [int(row[0]) for row in parts[0]["rows"]]
    assert {1, 8, 10, 123, 500} <= set(epochs)
    assert FEWEST <= len(epochs) <= EPOCHS_OF_ALL / 1000 + 3
    assert "of 500 epochs" in parts[0]["note"]


def predictions_part(tmp_path: Path, table: pd.DataFrame) -> list[list[str]] | None:
    store, record = ResultStore(tmp_path), trained("plain", split={"class_names": ["gull", "tern"]})
    store.write(record, predictions=table)
    data = records_data([record], RunFiles(store, [record]))
    return next((part["rows"] for part in data["parts"] if part["title"] == "Predictions of the last epoch"), None)


def test_a_records_predictions_are_counted_and_the_worst_classes_named(tmp_path: Path):
    table = predictions([True, True, False, False])
    table["label"] = [0, 1, 1, 2]
    table["prediction"] = [0, 1, 2, 1]
    table["confidence"] = [0.8, 0.6, 0.5, 0.3]
    assert predictions_part(tmp_path, pd.concat([table, table.assign(selection="validation", prediction=0)])) == [
        ["right", "2 of 4 (50.0 %)"],
        ["mean confidence where right", "70.0 %"],
        ["mean confidence where wrong", "40.0 %"],
        ["lowest: class 2", "0 of 1 right"],
        ["lowest: tern", "1 of 2 right"],
        ["confused: tern", "with class 2, 1 times"],
        ["confused: class 2", "with tern, 1 times"],
    ]


def test_predictions_without_an_error_or_of_another_epoch_name_no_worst_class(tmp_path: Path):
    right = [["right", "2 of 2 (100.0 %)"], ["mean confidence where right", "90.0 %"]]
    assert predictions_part(tmp_path / "right", predictions([True, True])) == right
    assert predictions_part(tmp_path / "validation", predictions([True], "validation")) is None


def test_a_report_reads_each_file_once(store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[Path] = []
    original = integrity.read_file
    monkeypatch.setattr(integrity, "read_file", lambda path: read.append(path) or original(path))
    write_report(store, tmp_path, "x")
    assert sorted(read) == sorted([*store.root.glob("*/history.csv"), *store.root.glob("*/predictions.parquet")])


def test_a_figure_that_makes_the_page_too_large_is_left_out_and_named(tmp_path: Path):
    (tmp_path / "small.svg").write_bytes(b"<svg/>")
    (tmp_path / "large.svg").write_bytes(b"<svg>     </svg>")
    expected = "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode()
    embed = html_figures.Embedder(tmp_path, len(expected) + 3)
    assert embed(SavedFigure("large", (tmp_path / "large.svg",))).data is None
    small = SavedFigure("small", (tmp_path / "small.svg",))
    kept = embed(small)
    assert kept.data == expected
    assert kept.files == {"SVG": "small.svg"}
    assert embed(small).data is None, "no room for it twice"


def test_tables_and_figures_without_a_chapter_are_shown_too():
    (more,) = [chapter for chapter in chapters(["paper", "new_table"], ["new_kind"]) if chapter.title == "More"]
    assert (more.tables, more.figures) == (("new_table",), ("new_kind",))
    assert "More" not in [chapter.title for chapter in chapters(["paper"], ["curves"])]


def test_a_table_of_another_kind_is_rendered(store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    column = Column("what", lambda row: str(row["x"]), align="left", naming=True)
    table = Table("odd", "Odd ones", [{"x": "<i>odd</i>"}], (column,))
    build = reporting.build_tables
    monkeypatch.setattr(reporting, "build_tables", lambda *given: build(*given) | {"odd": table})
    page = PageReader(write_report(store, tmp_path, "x").html)
    assert page.rows["odd"] == [{"what": ("<i>odd</i>", "")}]


def test_large_photos_are_shrunk_and_their_file_is_named(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 2400, 3), dtype=np.uint8)
    (tmp_path / "run" / "gallery").mkdir(parents=True)
    path = tmp_path / "run" / "gallery" / "right ones.png"
    Image.fromarray(noise).save(path)
    figure = html_figures.Embedder(tmp_path / "report", 10**7)(SavedFigure("right", (path,)))
    assert figure.files == {"PNG": "../run/gallery/right%20ones.png"}
    kind, data = str(figure.data).split(",", 1)
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (html_figures.SIDE, html_figures.SIDE * 900 // 2400)


def test_galleries_are_shown_in_the_chapter_on_attention(
    store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "right.png").write_bytes(b"\x89PNG")
    monkeypatch.setattr(reporting, "galleries", lambda *_: [("plain: right", "../right.png")])
    page = PageReader(write_report(store, tmp_path / "report", "x").html)
    assert "Attention Does a method attend" in page.text
    assert [values["alt"] for tag, values in page.tags if tag == "img"].count("plain: right") == 1


def test_an_empty_table_in_a_chapter_that_has_others_says_what_would_fill_it(tmp_path: Path):
    store = ResultStore(tmp_path / "results")
    fill(store, [trained("sef"), trained("sef", variant="no_lmgm", hardware={"name": "EPYC, 2 threads"})], 20)
    report = write_report(store, tmp_path / "report", "x")
    page = PageReader(report.html).text
    assert "Paper against ours Nothing yet. python run_all.py reproduce METHOD measures it. Ablations" in page
    assert "### Paper against ours\n\nNothing yet. `python run_all.py reproduce METHOD`" in report.page.read_text()
    assert "EPYC, 2 threads; NVIDIA H200" in page
    assert "`" not in page
