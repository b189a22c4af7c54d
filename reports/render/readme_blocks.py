"""Tables and answers inside a README or another page, rendered from records between two comments and never typed.

<!-- table: head_to_head dataset=cub100 protocol=common -->
<!-- /table -->

`<!-- table: head_to_head compact dataset=cub100 -->` keeps the columns that matter most, and a value may be a pattern
(`<!-- table: averages dataset=webfg_496:* -->`). In a LaTeX file the comments are `% table: …` and `% /table`.

<!-- answer: method=ws_dan first=regularised second=regularised_unnormalised dataset=cub100 input=96 -->
<!-- /answer -->

is one sentence: which of two variants is better. `second=maps_4,maps_16` gives a list of them, and `second=plain:paper`
names another method's. Other conditions are a table's filters; `method`, `first` and `second` are names, not patterns.
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
from reports.groups import NAMED, job, value_of
from reports.predictions import PredictionCache
from reports.render import latex, markdown
from reports.tables.comparison_sentences import Name, verdicts
from reports.tables.planned import fitting, gaps, planned
from reports.tables.table_registry import BUILDERS, Tables
from results.names import suggest
from results.record import Record
from results.store import ResultStore, write_whole

FILTERS = (*NAMED, "epochs", "suite", "seed")
PLANNED: Mapping[str, Callable[[Sequence[Mapping[str, Any]]], Table]] = {"planned": planned, "gaps": gaps}
"""Tables of what is not there, from `results/reference/planned.json`."""
JOINED = ("head_to_head", "missing")
"""Tables whose rows a profile joins: it tells what a trained network costs whatever the dataset."""
COMPARING = ("paired", "wins")
RIVALS: tuple[str, ...] = ("method", "variant")
"""Filters that choose rows of those, and no records."""
ASKED = ("first", "second", *(key for key in FILTERS if key != "variant"))
"""Of an answer: its two sides name the variants."""
MARKED = (".md", ".tex")
"""Files that may hold blocks."""
_COMMENT = {".md": ("<!-- ", " -->"), ".tex": ("% ", "")}
_FOLDERS = ("docs", "reports", "methods")


def pages(root: Path) -> list[Path]:
    """The committed files of a checkout that hold blocks: README.md, and what `docs`, `reports`, `methods` have."""
    candidates = [root / "README.md", *(path for folder in _FOLDERS for path in sorted((root / folder).rglob("*.*")))]
    return [
        path for path in candidates if path.suffix in MARKED and path.is_file() and _block(path).search(_text(path))
    ]


def render_readme(readme: Path, store: ResultStore) -> str:
    """The text of `readme` with every table and answer rendered anew; the file is not touched.

    Raises `ValueError`, naming file and block, for a table or filter that does not exist, with the nearest; for an
    answer that could be about several experiments; and for a block without an end.
    """
    known = Known(store.records(), PredictionCache(store.predictions), store.planned())
    opening, closing = _COMMENT[_kind(readme)]
    block = _block(readme)

    def rendered(found: re.Match[str]) -> str:
        begin = f"{opening}{found['kind']}: {found['asked']}{closing}"
        # An end behind the next beginning is that one's: what stands between them would be lost.
        if not found["end"] or block.search(found["body"]):
            raise ValueError(f"{readme}: {begin} has no {opening}/{found['kind']}{closing} after it")
        try:
            body = _body(found["kind"], found["asked"], known, _kind(readme) == ".tex")
        except ValueError as error:
            raise ValueError(f"{readme}: {begin}: {error}") from error
        return f"{begin}\n{body}\n{found['end']}"

    return block.sub(rendered, _text(readme))


def write_readme(readme: Path, store: ResultStore) -> None:
    """Puts the rendered text in the file's place. Raises as `render_readme`, and `results.store.ResultsError`."""
    text = render_readme(readme, store)
    write_whole(readme, lambda file: file.write_text(text, encoding="utf-8"))


def check_readme(readme: Path, store: ResultStore) -> bool:
    """Whether the tables and answers in `readme` are what the records give. Raises as `render_readme`."""
    return render_readme(readme, store) == _text(readme)


def _kind(path: Path) -> str:
    return ".tex" if path.suffix == ".tex" else ".md"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _block(path: Path) -> re.Pattern[str]:
    opening, closing = map(re.escape, _COMMENT[_kind(path)])
    return re.compile(
        rf"^{opening}(?P<kind>table|answer): (?P<asked>.*?){closing}\n"
        rf"(?P<body>.*?)(?P<end>^{opening}/(?P=kind){closing}$|\Z)",
        re.MULTILINE | re.DOTALL,
    )


class Known(NamedTuple):
    """What pages are rendered from."""

    records: Sequence[Record]
    answers: PredictionCache
    planned: Sequence[Mapping[str, Any]]


def _body(kind: str, asked: str, known: Known, in_latex: bool) -> str:
    if kind == "answer":
        sentences = _answer(asked, known)
        return latex.sentences(sentences) if in_latex else markdown.sentences(sentences)
    table = _table(asked, known)
    return latex.tabular(table) if in_latex else f"\n{markdown.markdown(table)}\n"


def _table(asked: str, known: Known) -> Table:
    """`name [compact] key=value …` -> the table over the Runs with these settings; quotes hold a value with spaces."""
    name, *conditions = shlex.split(asked) or [""]
    compact = "compact" in conditions
    wanted = dict(_condition(text, FILTERS) for text in conditions if text != "compact")
    if name not in {**BUILDERS, **PLANNED}:
        raise ValueError(f"there is no table {name!r}; {suggest(name, [*BUILDERS, *PLANNED])}")
    if name in PLANNED:
        table = PLANNED[name](fitting(known.planned, wanted))
    else:
        # Of comparisons, rows are chosen and no records: a correction is over all methods that met.
        rivals = {key: wanted.pop(key) for key in RIVALS if name in COMPARING and key in wanted}
        fits = [one for one in known.records if (name in JOINED and job(one) == "profile") or _fits(one, wanted)]
        table = Tables(fits, known.answers, lambda group: _fits(group.records[0], rivals))[name]
    return replace(table, columns=tuple(one for one in table.columns if one.compact)) if compact else table


def _answer(asked: str, known: Known) -> list[str]:
    """`first=variant second=[method:]variant[,…] key=value …` -> a sentence per pair, over the Runs so chosen."""
    wanted = dict(_condition(text, ASKED) for text in shlex.split(asked))
    method = wanted.pop("method", "")
    first, second = _name(wanted.pop("first", ""), method), wanted.pop("second", "")
    seconds = [_name(text, method) for text in second.split(",")]
    fits = [record for record in known.records if _fits(record, wanted)]
    return verdicts(fits, known.answers, first, seconds, wanted)


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
    return all(fnmatch.fnmatchcase(str(value_of(record, key)), value) for key, value in wanted.items())
