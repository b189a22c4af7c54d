"""Mistakes of the user are answered in one line that names the place as it is written, and what would do."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

import methods
from benchmarks.attention import gallery
from benchmarks.cli import result_commands
from benchmarks.cli.views import terminal
from benchmarks.console import PlainConsole
from benchmarks.environment import Environment
from benchmarks.errors import REFUSED, UserError
from benchmarks.execution import cluster
from benchmarks.execution.cluster_jobs import FOLDER
from benchmarks.execution.worker import blank
from benchmarks.planning import method_checks, suite
from benchmarks.training.networks.trained_run import find_run, load_trained
from datasets import DatasetError, open_dataset
from results.errors import ResultsError
from results.store import GALLERY, WEIGHTS, ResultStore
from results.values.names import suggest
from tests.helpers.small_training import small_run

IDS = [f"plain-paper-cub100-resnet50-seed{seed}-abcdef" for seed in range(40)]


@pytest.fixture
def many(tmp_path: Path) -> ResultStore:
    """Fourteen Runs."""
    store, run = ResultStore(tmp_path / "results"), small_run()
    for seed in range(14):
        store.write(blank(run.model_copy(update={"seed": seed}), torch.device("cpu")))
    return store


def written(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return str(folder / "mine.yaml")


def test_of_many_names_only_the_nearest_few_are_listed() -> None:
    assert suggest("zzz", IDS).endswith("and 37 more")
    assert suggest("zzz", ["a", "b"]) == "there are: a, b"
    assert suggest(IDS[3].replace("seed3", "sed3"), IDS) == f"did you mean {IDS[3]!r}?"


def test_an_ambiguous_beginning_of_an_id_lists_a_few_runs(many: ResultStore) -> None:
    with pytest.raises(UserError, match=r"begins the ids of 14 Runs: .* and 2 more"):
        find_run(many, "plain")


def test_a_record_that_does_not_name_its_classes_is_refused(many: ResultStore) -> None:
    record = many.own()[0]
    (many.folder(record.id) / WEIGHTS).touch()
    for split in ({}, {"class_names": 7}):
        many.write(record.model_copy(update={"split": split}))
        with pytest.raises(UserError, match="its record does not name the classes; run it again"):
            load_trained(many, record.id, torch.device("cpu"))


@pytest.mark.parametrize("vouched", [True, False])
def test_weights_that_cannot_be_read_are_named(vouched: bool, many: ResultStore) -> None:
    record = many.own()[0].model_copy(update={"split": {"class_names": ["a", "b"]}})
    record.checksums = {WEIGHTS: "0" * 64} if vouched else {}
    many.write(record)
    (many.folder(record.id) / WEIGHTS).symlink_to("/proc/self/mem")  # can be opened, and not read
    with pytest.raises((*REFUSED, ResultsError), match=f"{WEIGHTS}: "):
        load_trained(many, record.id, torch.device("cpu"))


def test_the_attention_of_an_unknown_run_is_refused_before_anything_is_printed(
    many: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = StringIO()
    monkeypatch.setattr(terminal, "console", PlainConsole(file=said))
    with pytest.raises(UserError, match="there is no Run 'nosuch'"):
        result_commands.attention(["nosuch"], results=many.root)
    assert said.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"mine.yaml: is empty; it takes settings by name"),
        ("- 3", r"mine.yaml: is \[3\]; it takes"),
        (
            "{about: x, train: [{methods: [plain], datasets: [synthetic], seeds: 0}]}",
            r"mine.yaml: train.0.seeds: input should be greater than 0",
        ),
        (
            "{about: x, train: [{methods: [plain], datasets: [synthetic], backbones: [{nam: x}]}]}",
            r"mine.yaml: train.0.backbones.0.nam: unknown key; did you mean 'name'",
        ),
        ("{about: x, train: [{methods: [plain]}]}", r"mine.yaml: train.0.datasets: field required"),
    ],
    ids=str,
)
def test_a_fault_of_a_suite_is_named_as_it_is_written(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        suite.load(written(tmp_path, text))


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("report",),
        ("report", "--check"),
        ("attention",),
        ("look",),
        ("publish", "x"),
        ("predict", "x", "a.jpg"),
    ],
)
def test_results_that_are_only_read_have_to_be_there(
    words: tuple[str, ...], tmp_path: Path, refused: Callable[..., tuple[int, str]]
) -> None:
    code, said = refused(*words, "--results", tmp_path / "nonesuch")
    assert (code, "nonesuch: there is no such folder of results" in said) == (2, True)
    assert not (tmp_path / "nonesuch").exists()


@pytest.mark.parametrize(
    ("folder", "said"),
    [("mine", r"publish all --results \S*mine$"), ("mine/reference", r"give --results \S*mine$")],
)
def test_a_page_keeps_its_tables_where_nothing_is_published(
    folder: str, said: str, tmp_path: Path, refused: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    page, table = tmp_path / "page.md", "<!-- table: runs -->\n\n| method |\n\n<!-- /table -->\n"
    page.write_text(table, encoding="utf-8")
    for check in ((), ("--check",)):
        code, answer = refused("report", "--readme", page, *check, "--results", tmp_path / folder)
        assert (code, bool(re.search(said, answer.replace("\n", " ").strip()))) == (2, True), answer
    assert page.read_text(encoding="utf-8") == table


def test_a_folder_that_cannot_be_made_is_named(many: ResultStore) -> None:
    viewer: Any = SimpleNamespace(dataset=SimpleNamespace(paths=[]), splits={"test": []})
    sight, answers = viewer, pd.DataFrame({"prediction": [], "label": []})
    for blocked, make in (
        (many.root / FOLDER, lambda: cluster.submit([], many, Environment(), "cpu", "local", cluster.Options())),
        (many.root / GALLERY, lambda: gallery.write_galleries(many.root, viewer, sight, answers, 1)),
    ):
        blocked.write_text("", encoding="utf-8")
        with pytest.raises(ResultsError, match=f"{blocked.name}: can't be made"):
            make()


def test_a_folder_of_two_methods_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def two(name: str) -> None:
        raise methods.NotOneMethod(f"methods/{name}/model.py must define exactly one Method, it defines 2")

    monkeypatch.setattr(methods, "load", two)
    with pytest.raises(UserError, match=r"methods/plain/model.py must define exactly one"):
        method_checks.constructor_options("plain")


def test_an_unknown_dataset_lists_the_nearest_and_all_that_can_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"did you mean 'synthetic'\? \(what can be opened: synthetic\)$"):
        open_dataset("synthetik", tmp_path)
