"""Tables and sentences inside a README or another page, rendered from records between two comments.

<!-- table: head_to_head dataset=cub100 protocol=common -->
<!-- /table -->

is a table. `<!-- table: head_to_head compact dataset=cub100 -->` has only the main columns. A value may be a pattern:
`<!-- table: averages dataset=webfg_496:* -->`. In a LaTeX file the comments are `% table: …` and `% /table`.

<!-- answer: method=ws_dan first=regularised second=regularised_unnormalised dataset=cub100 input=96 -->
<!-- /answer -->

is a sentence: which of two variants is better. `second=maps_4,maps_16` gives a list of sentences, and
`second=plain:paper` names a variant of another method. The other conditions are those of tables; `method`, `first` and
`second` are names, not patterns.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from reports.contents import Table
from reports.evidence import Evidence
from reports.groups import FILTERS, named
from reports.names import IDS, Names
from reports.predictions import PredictionCache
from reports.render import latex, markdown
from reports.render.comparison_sentences import Name, verdicts
from reports.tables.planned import fitting, gaps, planned
from reports.tables.table_registry import BUILDERS, Tables
from results.device_check import DeviceCheck
from results.errors import ResultsError
from results.files import write_whole
from results.record import Record
from results.store import ResultStore
from results.values.names import suggest

PLANNED: Mapping[str, Callable[[Sequence[Mapping[str, Any]]], Table]] = {"planned": planned, "gaps": gaps}
"""Tables of what is not measured yet, from `results/reference/planned.json`."""
PLANNED_FILTERS = (*FILTERS, "suite")
WITH_PROFILES = ("head_to_head", "missing")
"""Tables of trained Runs that also read profile Runs, whatever the filters: the cost does not depend on the dataset."""
ROW_FILTERS: Mapping[str, Sequence[str]] = {
    "head_to_head": ("method", "variant"),
    "paired": ("method", "variant"),
    "wins": ("method", "variant"),
    "backbones": ("method", "variant", "backbone", "pretrained"),
}
"""Filters that choose what these tables show instead of records, since their tests are corrected for all pairs."""
ANSWER_FILTERS = ("first", "second", *(key for key in FILTERS if key != "variant"))
"""Of an answer, whose variants are `first` and `second`."""
SUFFIXES = (".md", ".tex")
"""Of files that may have blocks."""
_COMMENT = {".md": ("<!-- ", " -->"), ".tex": ("% ", "")}
_FOLDERS = ("docs", "reports", "methods")


def pages(root: Path) -> list[Path]:
    """The files of a checkout that have blocks: README.md, and those in `docs`, `reports` and `methods`."""
    candidates = [root / "README.md", *(path for folder in _FOLDERS for path in sorted((root / folder).rglob("*.*")))]
    return [
        path for path in candidates if path.suffix in SUFFIXES and path.is_file() and _block(path).search(_text(path))
    ]


def render_readme(readme: Path, store: ResultStore, names: Names = IDS) -> str:
    """The text of `readme` with all tables and answers rendered, `names` in the place of ids; the file is not written.

    Raises `ValueError`, which names file and block, for a table or filter that does not exist, an answer that fits
    several experiments, and a block without an end, also for a file without any block, or that is no text;
    `ResultsError` for a stored file that can't be trusted.
    """
    records = store.records()
    if store.left_out:  # a page that lacks a record would be out of date, or wrong
        raise ResultsError(next(iter(store.left_out.values())))
    device_checks, faults = store.device_checks()
    if faults:
        raise ResultsError(next(iter(faults.values())))
    known = Known(records, PredictionCache(store.prediction_table), store.planned(), device_checks, names)
    opening, closing = _COMMENT[_kind(readme)]
    block = _block(readme)
    if not block.search(_text(readme)):
        raise ValueError(f"{readme}: has no block such as {opening}table: NAME{closing} to be filled in")

    def rendered(found: re.Match[str]) -> str:
        begin = f"{opening}{found['kind']}: {found['query']}{closing}"
        # An end after the next beginning belongs to that one: the text between them would be lost.
        if not found["end"] or block.search(found["body"]):
            raise ValueError(f"{readme}: {begin} has no {opening}/{found['kind']}{closing} after it")
        try:
            body = _body(found["kind"], found["query"], known, _kind(readme) == ".tex")
        except ValueError as error:
            raise ValueError(f"{readme}: {begin}: {error}") from error
        return f"{begin}\n{body}\n{found['end']}"

    return block.sub(rendered, _text(readme))


def write_readme(readme: Path, store: ResultStore, names: Names = IDS) -> None:
    """Writes the rendered text to the file. Raises as `render_readme`, and `ResultsError` if it can't be written."""
    text = render_readme(readme, store, names)
    newline = "\r\n" if b"\r\n" in readme.read_bytes() else "\n"
    if text != _text(readme):
        write_whole(readme, lambda file: file.write_text(text, encoding="utf-8", newline=newline), option="--readme")


def check_readme(readme: Path, store: ResultStore, names: Names = IDS) -> bool:
    """Whether the tables and answers in `readme` are what the records give. Raises as `render_readme`."""
    return render_readme(readme, store, names) == _text(readme)


def _kind(path: Path) -> str:
    return ".tex" if path.suffix == ".tex" else ".md"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no text in UTF-8 ({error})") from error


def _block(path: Path) -> re.Pattern[str]:
    opening, closing = map(re.escape, _COMMENT[_kind(path)])
    return re.compile(
        rf"^{opening}(?P<kind>table|answer): (?P<query>.*?){closing}\n"
        rf"(?P<body>.*?)(?P<end>^{opening}/(?P=kind){closing}$|\Z)",
        re.MULTILINE | re.DOTALL,
    )


class Known(NamedTuple):
    """What blocks are rendered from."""

    records: Sequence[Record]
    predictions: PredictionCache
    planned: Sequence[Mapping[str, Any]]
    device_checks: Sequence[DeviceCheck] = ()
    names: Names = IDS


def _body(kind: str, query: str, known: Known, in_latex: bool) -> str:
    if kind == "answer":
        sentences = _answer(query, known)
        return latex.sentences(sentences) if in_latex else markdown.sentences(sentences)
    table = _table(query, known)
    return latex.tabular(table) if in_latex else f"\n{markdown.markdown_parts(table)}\n"


def _table(query: str, known: Known) -> Table:
    """`name [compact] key=value …` -> the table of the Runs with these settings; a value with spaces is quoted."""
    name, *conditions = shlex.split(query) or [""]
    compact = "compact" in conditions
    filters = PLANNED_FILTERS if name in PLANNED else FILTERS
    wanted = dict(_condition(text, filters) for text in conditions if text != "compact")
    if name not in {**BUILDERS, **PLANNED}:
        raise ValueError(f"there is no table {name!r}; {suggest(name, [*BUILDERS, *PLANNED])}")
    if name in PLANNED:
        table = PLANNED[name](fitting(known.planned, wanted))
        table = replace(table, columns=tuple(map(known.names.column, table.columns)))
    else:
        # Holm's correction is over all comparable methods, so filters choose rows and not records.
        rows = {key: wanted.pop(key) for key in ROW_FILTERS.get(name, ()) if key in wanted}
        fits = [
            one for one in known.records if (name in WITH_PROFILES and one.run.job == "profile") or _fits(one, wanted)
        ]
        evidence = Evidence(fits, known.predictions, known.device_checks, known.names)
        table = Tables(evidence, lambda group: _fits(group.records[0], rows))[name]
    return replace(table, columns=tuple(one for one in table.columns if one.compact)) if compact else table


def _answer(query: str, known: Known) -> list[str]:
    """`first=variant second=[method:]variant[,…] key=value …` -> a sentence per pair of variants."""
    wanted = dict(_condition(text, ANSWER_FILTERS) for text in shlex.split(query))
    method = wanted.pop("method", "")
    first, second = _name(wanted.pop("first", ""), method), wanted.pop("second", "")
    seconds = [_name(text, method) for text in second.split(",")]
    fits = [record for record in known.records if _fits(record, wanted)]
    return verdicts(Evidence(fits, known.predictions, names=known.names), first, seconds, wanted)


def _name(text: str, method: str) -> Name:
    own, colon, variant = text.rpartition(":")
    name = Name(own if colon else method, variant)
    if not all(name) or "," in text:
        raise ValueError(f"{text!r} names no variant; an answer is first=[method:]variant second=[method:]variant[,…]")
    return name


def _condition(text: str, known: Sequence[str]) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in known:
        raise ValueError(f"{text!r} is no filter here (name=value); {suggest(key, known)}")
    return key, value


def _fits(record: Record, wanted: dict[str, str]) -> bool:
    values = named(record.run)
    return all(fnmatch.fnmatchcase(str(values[key]), value) for key, value in wanted.items())
