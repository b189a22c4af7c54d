"""How a value looks in a cell. Tables keep numbers; every format shows them through these columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

DASH = "–"
"""A missing value; the table of missing values gives the reason."""
ITSELF = "·"
"""Where a method would be compared with itself."""
GIB = 2.0**30
"""Bytes."""
NEITHER = "neither"
"""The better one of a pair without a proven difference."""
STEADY = 1.1
"""Highest over lowest rate above which a rate is shown with its range: the host had other work."""
SEEDS_ALONE = "seeds alone"
"""What an interval is over if predictions are not stored."""

BUSY = "*"
"""Mark of a rate that was measured while the machine had more work than cores."""
BUSY_FOOTNOTE = f"{BUSY} measured while other work ran on the machine"
ONCE = "(n=1)"
"""Mark of what was measured once."""
ONCE_FOOTNOTE = f"{ONCE} measured once: one seed, or one repeat of a profile"
FOOTNOTES = {BUSY: BUSY_FOOTNOTE, ONCE: ONCE_FOOTNOTE}
"""What each mark means."""

_TAILS = {BUSY: BUSY, ONCE: f" {ONCE}"}
"""How a value ends that has the mark."""

SOURCES = "sources"
"""Key of a row's Runs: their ids, a tuple per experiment. The page links to them; no column or file shows them."""
PART = "table_part"
"""Key of the part of a table that a row stands in, where no other key tells. No column or file shows it."""

Row = Mapping[str, Any]
"""Values by column name; None where there is no value."""


@dataclass(frozen=True)
class Column:
    """A heading and how a table's row is shown below it."""

    heading: str
    show: Callable[[Row], str]
    compact: bool = False
    """Whether the terminal shows it too."""
    align: Literal["left", "right"] = "right"
    naming: bool = False
    """Whether it names the row rather than measures something."""
    printed: bool = False
    """Whether a paper's table shows it. Where no measured column is `printed`, it shows the `compact` ones. A page of
    Markdown shows both."""
    headline: bool = False
    """Whether the table is about it, so that it stays where no row has a value."""
    marks: tuple[str, ...] = ()
    """Those of `FOOTNOTES` that its cells may have."""
    source: int = 0
    """Which of the row's `SOURCES` measured it."""
    key: str = ""
    """Under which a row has the value that it shows, or its mean or lower end."""
    strong: str = ""
    """Key of a truth value of the row: whether the value is set in bold."""
    meaning: str = ""
    """What the heading does not say of the values, in words that follow it; pages list it below the table."""

    def is_shown(self, cells: Iterable[str]) -> bool:
        """Whether a table with these cells shows the column: one of blanks and dashes only takes up room."""
        cells = list(cells)
        return any(cell not in {"", DASH} for cell in cells) or (self.headline and any(cells))

    def is_strong(self, row: Row) -> bool:
        """Whether the row's value is set in bold."""
        return bool(self.strong and row[self.strong])


def headline(column: Column) -> Column:
    """The same column, shown also where no row has a value."""
    return replace(column, headline=True)


def printed(column: Column) -> Column:
    """The same column, shown in a paper."""
    return replace(column, printed=True)


def profiled(column: Column) -> Column:
    """The same column, measured by the profile Runs of a row about trained ones: its second source."""
    return replace(column, source=1)


def bold(column: Column, strong: str) -> Column:
    """The same column, its value in bold in each row that says so under the key `strong`."""
    return replace(column, strong=strong)


def explained(column: Column, meaning: str) -> Column:
    """The same column with what its heading does not say."""
    return replace(column, meaning=meaning)


def marked(column: Column, key: str) -> Column:
    """The same column, marked as `BUSY` at each value whose row says so under the key."""
    return _marked(column, BUSY, lambda row: bool(row[key]))


def once(column: Column, key: str) -> Column:
    """The same column, marked as measured `ONCE` at each value whose row has 1 under the key of the repeats."""
    return _marked(column, ONCE, lambda row: row[key] == 1)


def percent(share: float | None) -> float | None:
    """A share of 1 in percent, as tables hold it; None stays None."""
    return None if share is None else 100 * share


def text(key: str, heading: str | None = None, compact: bool = False) -> Column:
    """Words as they are, which name the row."""
    return replace(words(key, heading, compact), naming=True)


def words(key: str, heading: str | None = None, compact: bool = False) -> Column:
    """Text that doesn't name the row: it keeps its column even if it is the same in every row."""
    return Column(heading or key, _known(key, lambda row: str(row[key])), compact, "left", key=key)


def number(key: str, heading: str, digits: int = 0, unit: float = 1.0, compact: bool = False) -> Column:
    """`value / unit` with a fixed number of digits behind the point."""
    return Column(heading, _known(key, lambda row: f"{row[key] / unit:.{digits}f}"), compact, key=key)


def size(key: str, heading: str, compact: bool = False) -> Column:
    """A whole number that was chosen, not measured."""
    return replace(number(key, heading, compact=compact), naming=True)


def rate(key: str, heading: str, compact: bool = False) -> Column:
    """A mean over seeds, with its range where the seeds differ by more than a tenth: the host had other work."""

    def show(row: Row) -> str:
        low, high = row[f"{key}_low"], row[f"{key}_high"]
        return f"{row[key]:.0f}" + (f" ({low:.0f} … {high:.0f})" if high > STEADY * low else "")

    return Column(heading, _known(key, show), compact, key=key)


def signed(key: str, heading: str, compact: bool = False) -> Column:
    """A difference in percentage points, with its sign."""
    return Column(heading, _known(key, lambda row: signed_points(row[key])), compact, key=key)


def probability(key: str, heading: str, compact: bool = False) -> Column:
    """A p value; tiny ones are a bound rather than a row of zeros."""

    def show(row: Row) -> str:
        return "< 0.001" if row[key] < 0.001 else f"{row[key]:.3f}"

    return Column(heading, _known(key, show), compact, key=key)


def estimate(key: str, heading: str, compact: bool = False) -> Column:
    """`mean ± sd` in percent. One seed is marked `n=1`, as is a mean over fewer seeds than the row has."""

    def show(row: Row) -> str:
        sd, n = row[f"{key}_sd"], row[f"{key}_n"]
        spread = "" if sd is None else f" ± {sd:.1f}"
        return f"{row[key]:.1f}{spread}" + (f" (n={n})" if n == 1 or n != row["seeds"] else "")

    return Column(heading, _known(key, show), compact, marks=(ONCE,), key=key)


def interval(key: str, heading: str, compact: bool = False) -> Column:
    """`low … high`, in the unit of the value; marked if it is over seeds alone, on the same images."""

    def show(row: Row) -> str:
        seeds = " (seeds)" if row.get(f"{key}_over") == SEEDS_ALONE else ""
        return minus(f"{rounded(row[f'{key}_low']):.1f} … {rounded(row[f'{key}_high']):.1f}") + seeds

    return Column(heading, _known(f"{key}_low", show), compact, key=f"{key}_low")


def yes_no(key: str, heading: str, compact: bool = False) -> Column:
    """A truth value in a word."""
    return Column(heading, _known(key, lambda row: "yes" if row[key] else "no"), compact, "left", key=key)


def alone(seeds: Any) -> str:
    """The mark of a result of one seed, which is about trained models, not about methods."""
    return _TAILS[ONCE] if seeds == 1 else ""


def minus(number: str) -> str:
    """With the sign that people read, in tables as in figures; files for programs keep the hyphen."""
    return number.replace("-", "−")


def signed_points(value: float) -> str:
    """A difference in points, with its sign, in tables as in figures."""
    return minus(f"{rounded(value):+.1f}")


def rounded(value: float) -> float:
    """To one digit; zero has no sign."""
    return round(value, 1) + 0.0


def _marked(column: Column, mark: str, applies: Callable[[Row], bool]) -> Column:
    def show(row: Row) -> str:
        text = column.show(row)
        return text + _TAILS[mark] if applies(row) and text not in {"", DASH} else text

    return replace(column, show=show, marks=(*column.marks, mark))


def _known(key: str, show: Callable[[Row], str]) -> Callable[[Row], str]:
    """`show`, and a dash where the row has no such value."""
    return lambda row: DASH if row[key] is None else show(row)
