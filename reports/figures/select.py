"""Which figures a set of records has: those of tables are prepared here, others in `trainings` and `profiles`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from reports.cell_format import Row, alone
from reports.comparisons import contestants
from reports.contents import Table
from reports.evidence import Evidence
from reports.figures.drawing import Drawing
from reports.figures.kinds import ablation, gains, published, ranks, throughput
from reports.figures.looks import Looks
from reports.figures.profiles import of_profiles
from reports.figures.style import POINTS
from reports.figures.trainings import of_calibration, of_classes, of_histories, of_training_time
from reports.groups import labels
from reports.names import Names
from reports.rank_tests import runs_alike
from reports.tables.across.backbones import gains_of
from reports.tables.across.ranks import method_name, rankings
from reports.tables.cost.training_time import History
from reports.tables.head_to_head import whole_methods


def drawings(evidence: Evidence, tables: Mapping[str, Table], history: History) -> Iterator[Drawing]:
    """Every figure of a report."""
    looks = Looks.of((record.run.method, record.run.variant) for record in evidence.records)
    yield from _throughput(tables["head_to_head"], looks, evidence)
    yield from _ranks(evidence)
    yield from _gains(tables["backbones"], evidence.names)
    yield from _published(tables["paper"], looks, evidence)
    yield from _ablations(tables["ablation"], tables["steps"], evidence.names)
    for shared, members in evidence.comparisons.items():
        done = [group for group in members if group.done]
        whole = [group for group in contestants(members) if group.done]
        yield from of_histories(shared, done, looks, evidence.names, history)
        yield from of_calibration(shared, done, looks, evidence)
        yield from of_classes(shared, whole, evidence)
        yield from of_training_time(shared, whole, looks, evidence, history)
    yield from of_profiles(evidence.measurements, looks, evidence.names)


def first_of_each_kind(several: Iterable[Drawing], most: int) -> Iterator[Drawing]:
    """The first `most` of each kind."""
    count: Counter[str] = Counter()
    for drawing in several:
        count[drawing.kind] += 1
        if count[drawing.kind] <= most:
            yield drawing


def _throughput(head: Table, looks: Looks, evidence: Evidence) -> Iterator[Drawing]:
    """Of the whole methods of each comparison. The one with most experiments comes first: a report opens with it."""
    comparisons: dict[str, list[Row]] = defaultdict(list)
    for row in head.rows:
        comparisons[row["arena"]].append(row)
    whole_of = {heading: whole_methods(rows) for heading, rows in comparisons.items()}
    for heading, whole in sorted(whole_of.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        own = looks.together([(row["method"], row["variant"]) for row in whole])
        arguments = (whole, labels(list(map(evidence.names.row, whole))), own)
        told, busy = throughput.caption(whole), throughput.shows_busy_rate(whole)
        shown = evidence.headings.get(heading, heading)
        yield Drawing("throughput", heading, throughput.accuracy_against_throughput, arguments, told, busy, shown)


def _ranks(evidence: Evidence) -> Iterator[Drawing]:
    """A critical-difference diagram wherever methods are ranked."""
    names = evidence.names
    for one in rankings(evidence):
        told = ranks.caption(one, list(map(names.dataset, one.datasets)))
        methods = [names.label(method_name(method)) for method in one.methods]
        arguments = (methods, one.test.average.tolist(), runs_alike(one.test.apart), one.test.critical)
        yield Drawing("ranks", str(one.shared), ranks.rank_diagram, arguments, told, shown=str(one.shared.named(names)))


def _gains(backbones: Table, names: Names) -> Iterator[Drawing]:
    """One per part of the table of methods by backbone: its gains, without backbones and methods that have none."""
    for shown, part in backbones.parts():
        known = {backbone: found for backbone, found in gains_of(part).items() if any(found)}
        methods = [place for place in range(len(part.rows)) if any(found[place] for found in known.values())]
        cells = [
            [one and gains.Gain(one["gain"], bool(one["verdict"]), alone(one["gain_seeds"])) for one in row]
            for row in ([found[place] for found in known.values()] for place in methods)
        ]
        told = [(names.label(part.rows[place]["method"]), part.rows[place]["settings"]) for place in methods]
        arguments = ([" ".join(words).strip() for words in told], list(known), cells)
        if known:
            yield Drawing("gains", part.rows[0]["arena"], gains.gain_cells, arguments, gains.CAPTION, shown=shown)


def _published(paper: Table, looks: Looks, evidence: Evidence) -> Iterator[Drawing]:
    """Published accuracies beside ours, a figure for each dataset."""
    for dataset in dict.fromkeys(row["dataset"] for row in paper.rows):
        found = published.reproductions(paper.where(dataset=dataset).rows, evidence.names)
        shown = evidence.names.dataset(dataset)
        yield Drawing(
            "published", dataset, published.published_and_ours, (found, looks), published.CAPTION, shown=shown
        )


def _ablations(ablated: Table, steps: Table, names: Names) -> Iterator[Drawing]:
    for table, what in ((ablated, "Each variant minus the whole method"), (steps, "What each step gains")):
        for method, comparison in dict.fromkeys((row["method"], row["arena"]) for row in table.rows):
            rows = table.where(method=method, arena=comparison).rows
            if sum(row["difference"] is not None for row in rows) < 2:
                continue  # one bar says no more than its row in the table
            bars = [_step(row) if table is steps else str(row["variant"]) for row in rows]
            heading, shown = (
                ", ".join([*told, *["step by step"] * (table is steps)])
                for told in ((method, comparison), (names.method(method), table.headings.get(comparison, comparison)))
            )
            told = f"{what}. {ablation.CAPTION}"
            yield Drawing("ablation", heading, ablation.gain_bars, (rows, bars, POINTS), told, shown=shown)


def _step(row: Row) -> str:
    """The two variants, and below them the option in which they differ."""
    return f"{row['from']} → {row['to']}\n{row['option']}: {row['before']} → {row['after']}"
