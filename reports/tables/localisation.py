"""Do methods attend to parts? A row per experiment whose attention was measured, and one for a centre prior."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from reports import cell_format
from reports.cell_format import Column, Row, percent
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from reports.groups import NAMED, Group
from reports.statistics import over_seeds
from reports.tables.accuracies import NAMES
from results.localisation import MEASURES, Estimate, Localisation

CENTRE = "centre"
"""Name of the row of a Gaussian about the middle of the image."""
_ELSEWHERE = "the same maps scored against another test image's annotations: what a map scores without using the image"
COLUMNS = (
    *NAMES,
    cell_format.explained(
        cell_format.printed(cell_format.estimate("peak_on_part", "peak on a part, %", compact=True)),
        "pointing game: the centre of the highest cell of the mean of all maps lies within 10 % of the longer side of "
        "the object's box (of the image, without boxes) from a visible part's point",
    ),
    cell_format.printed(cell_format.interval("peak_on_part", "95 % interval over images", compact=True)),
    cell_format.explained(
        cell_format.number("ceiling", "at most, %", 1, compact=True),
        "what the best cell of a map of this size could reach",
    ),
    cell_format.explained(
        cell_format.printed(
            cell_format.number("peak_on_part_elsewhere", "peak on another image's part, %", 1, compact=True)
        ),
        _ELSEWHERE,
    ),
    cell_format.signed("peak_on_part_over_centre", "Δ vs centre"),
    cell_format.explained(
        cell_format.printed(cell_format.estimate("near_parts", "attention on parts, %", compact=True)),
        "share of the mean map",
    ),
    cell_format.number("near_parts_elsewhere", "attention on another image's parts, %", 1),
    cell_format.estimate("maps_on_parts", "single maps' peaks on a part, %"),
    cell_format.explained(
        cell_format.number("maps_on_parts_random", "random cells on a part, %", 1, compact=True),
        "what peaks at random cells of such a map would score on average",
    ),
    cell_format.explained(
        cell_format.signed("maps_on_parts_over_random", "Δ of single maps vs random cells", compact=True),
        "what a method's choice of places, or of tokens, is worth",
    ),
    cell_format.interval("maps_on_parts_over_random", "95 % interval of this Δ over images"),
    cell_format.explained(
        cell_format.estimate("own_part", "single maps on their own part, %", compact=True),
        "the part that a map hits most often in the half of the images that is not counted",
    ),
    cell_format.number("own_part_elsewhere", "single maps on another image's part, %", 1, compact=True),
    cell_format.estimate("peak_in_box", "peak in the box, %"),
    cell_format.estimate("in_box", "attention in the box, %"),
    cell_format.explained(
        cell_format.estimate("crop_iou", "IoU of crop and box, %", compact=True),
        "the crop is the box around the mean map, from a threshold chosen on images outside the test set",
    ),
    cell_format.interval("crop_iou", "95 % interval of IoU"),
    cell_format.number("seeds", "seeds", compact=True),
    cell_format.text("map", "map", compact=True),
    cell_format.number("maps", "maps"),
    cell_format.number("blank", "images without attention"),
)
NOTE = (
    "Over the whole test set, with the last epoch's weights: ± over seeds; intervals over test images by bootstrap, "
    "their limits averaged over seeds. Centre: a Gaussian about the middle of the image. A map is assumed to cover the "
    "input evenly; a network's padding may move its cells by up to half a cell, so compare within one backbone."
)
PART_NOTE = (
    "How often the mean map's peak lies on each part, in % of the test images in which the part is visible. One peak "
    "can hit several parts that are close together."
)


def localisation(evidence: Evidence) -> Table:
    """One row per experiment whose attention was measured, and one for the centre of each set of images."""
    rows: list[dict[str, Any]] = []
    for group, found in _measured(evidence):
        first = found[0]
        scores = {key: value for name in MEASURES for key, value in _scores(found, name).items()}
        blank = sum(one.blank for one in found) / len(found)
        size = {"map": "×".join(map(str, first.map_size)), "maps": first.maps, "ceiling": percent(first.ceiling)}
        arena = {"arena": evidence.arenas[group]}
        rows.append(group.row | arena | {"seeds": len(found), "blank": blank} | size | scores)
        centre = dict.fromkeys((*size, "blank")) | _centre_scores(first) | {"seeds": 0}
        rows.append(_centre_names(group) | arena | centre)
    return Table("localisation", "What methods attend to", _distinct(rows), COLUMNS, NOTE, split=("arena",))


def part_hits(evidence: Evidence) -> Table:
    """One row per experiment as in `localisation`, one column per annotated part."""
    rows: list[dict[str, Any]] = []
    parts: dict[str, None] = {}
    for group, found in _measured(evidence):
        parts |= dict.fromkeys(found[0].parts)
        hits = {part: over_seeds([one.parts[part].hit for one in found]).mean for part in found[0].parts}
        arena = {"arena": evidence.arenas[group]}
        centre = {_of(part): percent(one.centre) for part, one in found[0].parts.items()}
        rows.append(group.row | arena | {_of(part): percent(hit) for part, hit in hits.items()})
        rows.append(_centre_names(group) | arena | centre)
    rows = [dict.fromkeys(map(_of, parts)) | row for row in rows] if parts else []
    columns = (*NAMES, *(_part_column(part) for part in parts))
    return Table("part_hits", "Which parts they point at", _distinct(rows), columns, PART_NOTE, split=("arena",))


def _measured(evidence: Evidence) -> Iterator[tuple[Group, list[Localisation]]]:
    for group in evidence.groups:
        found = [record.localisation for record in group.done if record.localisation is not None]
        if found:
            yield group, found


def _scores(found: list[Localisation], name: str) -> dict[str, Any]:
    elsewhere = [one.elsewhere[name].value for one in found if name in one.elsewhere]
    over_centre = [one.over_centre[name].value for one in found if name in one.over_centre]
    random = [one.random[name].value for one in found if name in one.random]
    return (
        _estimate(name, [one.scores.get(name) for one in found])
        | _estimate(f"{name}_over_random", [one.over_random.get(name) for one in found])
        | {
            f"{name}_elsewhere": percent(over_seeds(elsewhere).mean),
            f"{name}_over_centre": percent(over_seeds(over_centre).mean),
            f"{name}_random": percent(over_seeds(random).mean),
        }
    )


def _centre_scores(one: Localisation) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for name in MEASURES:
        scores |= _estimate(name, [one.centre.get(name)])
        scores |= _estimate(f"{name}_over_random", [])
        scores |= {f"{name}_n": 0, f"{name}_elsewhere": None, f"{name}_over_centre": None}  # it has no seeds
        scores[f"{name}_random"] = None
    return scores


def _estimate(name: str, estimates: Iterable[Estimate | None]) -> dict[str, Any]:
    """Mean and spread over seeds; the limits of the intervals over images, averaged."""
    known = [one for one in estimates if one is not None]
    values = over_seeds([one.value for one in known])
    low, high = (over_seeds([getattr(one, end) for one in known]).mean for end in ("low", "high"))
    return {
        name: percent(values.mean),
        f"{name}_sd": percent(values.sd),
        f"{name}_n": values.n,
        f"{name}_low": percent(low),
        f"{name}_high": percent(high),
    }


def _centre_names(group: Group) -> dict[str, Any]:
    shared = {key: group.names[key] for key in ("dataset", "protocol", "input")}
    return dict.fromkeys(NAMED) | shared | {"method": CENTRE, "settings": ""}


def _of(part: str) -> str:
    """The part's column in the table: no name of a part is that of another column."""
    return f"on {part}, %"


def _part_column(part: str) -> Column:
    """Blank, not a dash, where the dataset has no such part: a column of blanks is not shown."""
    key = _of(part)
    return Column(part, lambda row: "" if row[key] is None else f"{row[key]:.1f}", key=key)


def _distinct(rows: list[dict[str, Any]]) -> list[Row]:
    """The rows in order; equal rows of the centre once, after the others."""
    once = list({repr(sorted(row.items(), key=str)): row | {"rank": row["method"] == CENTRE} for row in rows}.values())
    return sorted_rows(once, ["dataset", "protocol", "input", "rank", "method", "variant", "backbone"])
