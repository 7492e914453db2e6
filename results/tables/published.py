"""Printed tables, of the paper or of any other: printed as they are, and as what our numbers are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from flyp_sweep.results.analysis.evidence import Measure
from flyp_sweep.results.naming import PAPER_LABELS, ZEROSHOT
from flyp_sweep.results.statistics.agreement import BracketKind, Printed
from flyp_sweep.results.statistics.intervals import Interval
from flyp_sweep.results.tables.published_file import ColumnEntry, PublishedFile, TableEntry, read_published
from flyp_sweep.results.tables.significance import Mark
from flyp_sweep.results.tables.table import Column, Entry, Grid, Row, Table
from flyp_sweep.search_spaces.errors import InputError, nearest

FILE = Path(__file__).parent / "published.yaml"

BRACKETS: Mapping[BracketKind, str] = {"interval": "95% interval", "deviation": "standard deviation over seeds"}
"""What a caption calls them."""

_DIGITS = 8
"""The paper prints fractions to fewer."""


@dataclass(frozen=True)
class Difference:
    """On which images numbers of ours are measured, or trained, where that is not the paper's way."""

    dataset: str
    role: str
    of: Literal["trained", "all"]
    what: str

    def concerns(self, method: str, column: Column) -> bool:
        """Whether it is about this method in this column."""
        return (column.dataset, _role(column)) == (self.dataset, self.role) and (self.of == "all" or method != ZEROSHOT)


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper. `numbers` holds per method the entries as printed, in the order of `columns`.

    `bracket` says what the brackets hold, and `bracket_source` where that is known from. `model` is the paper's word
    for its model; `models` are the names of that model in our tables.
    """

    number: int | None
    stub: str
    seeds: int
    bracket: BracketKind
    bracket_source: str
    source: str
    model: str
    models: tuple[str, ...]
    columns: tuple[Column, ...]
    numbers: Mapping[str, tuple[str, ...]]
    differences: tuple[Difference, ...] = ()

    def difference(self, method: str, column: Column) -> str | None:
        """What differs by intent between our number and the paper's; None: nothing does."""
        return next((one.what for one in self.differences if one.concerns(method, column)), None)

    @property
    def cited(self) -> str:
        """E.g. `Table 1 of Goyal et al. (CVPR 2023)`."""
        return self.source if self.number is None else f"Table {self.number} of {self.source}"

    @property
    def said(self) -> str:
        """What its numbers are, e.g. `mean over 5 seeds with its 95% interval`."""
        return f"mean over {self.seeds} seeds with its {BRACKETS[self.bracket]}"

    def printed(self, method: str, column: Column) -> str | None:
        """What the paper prints for a method in the column of the same `key`; None if nothing, or for another model."""
        at = self._place(column)
        if at is None or column.model not in self.models or method not in self.numbers:
            return None
        return self.numbers[method][at]

    def metric(self, column: Column) -> str | None:
        """The paper's metric in the column that ours corresponds to; None: it has no such column."""
        at = self._place(column)
        return None if at is None else self.columns[at].metric

    def _place(self, column: Column) -> int | None:
        own = keys(column)
        return next((at for at, theirs in enumerate(self.columns) if keys(theirs) & own), None)


Key = tuple[str, int | None, str, str, str]


def keys(column: Column) -> set[Key]:
    """What makes a column of ours that of a paper, besides the model: data set, shots, side, role and split.

    The split is empty for what a data set is summed up by: ID test, the mean over OOD sets, or the only one of these.
    """
    found: set[Key] = set()
    if column.headline or column.role == "ood_val":
        found.add((column.dataset, column.shots, column.side, _role(column), ""))
    if len(column.parts) == 1:
        found.add((column.dataset, column.shots, column.side, _role(column), column.parts[0].split))
    return found


def _role(column: Column) -> str:
    return "ood" if column.role == "mean_ood" else column.role


def published_tables(path: Path = FILE) -> Mapping[str, PublishedTable]:
    """The tables of the paper, or of the file at `path`, by the layout they have. Raises as `read_published`."""
    return _of_the_paper() if path == FILE else _tables_in(path)


@cache
def _of_the_paper() -> Mapping[str, PublishedTable]:
    return _tables_in(FILE)


def _tables_in(path: Path) -> Mapping[str, PublishedTable]:
    content = read_published(path)
    return {name: _table(table, content) for name, table in content.tables.items()}


def published_table(layout: str, path: Path = FILE) -> PublishedTable:
    """The paper's table of a layout. Raises InputError for a layout that the paper has no table of."""
    tables = published_tables(path)
    if layout not in tables:
        raise InputError(
            f"found layout {layout!r}{nearest(layout, tables)}, expected one that the paper has a table of: "
            f"--layout {', '.join(tables)}"
        )
    return tables[layout]


def dataset_label(layout: str, dataset: str) -> str:
    """The name of a data set in the paper's table of that layout; its own where the paper lacks it."""
    columns = published_tables()[layout].columns
    return next((column.path[0] for column in columns if column.dataset == dataset), dataset)


def published_order(layout: str, dataset: str) -> tuple[int, str]:
    """Sort key: the order of the paper's table, then the alphabet."""
    names = [column.dataset for column in published_tables()[layout].columns]
    return (names.index(dataset) if dataset in names else len(names), dataset)


@cache
def published_names(dataset: str) -> frozenset[str]:
    """What the tables call a data set: by its own name, and as each of the paper's tables prints it."""
    return frozenset(dataset_label(layout, dataset) for layout in published_tables()) | {dataset}


def reprint(layout: str) -> Table:
    """The paper's own table, digit for digit; the highest of each column is marked."""
    table = published_table(layout)
    marks = [_marks([table.numbers[method][at] for method in table.numbers]) for at in range(len(table.columns))]
    rows = tuple(
        Row(
            PAPER_LABELS[method],
            method,
            tuple(_entry(text, table, marks[at][index]) for at, text in enumerate(entries)),
        )
        for index, (method, entries) in enumerate(table.numbers.items())
    )
    caption = (
        f"As printed, {table.model}, in %: {table.said}. Bold: highest of its column as printed; nothing is tested."
    )
    audit = (
        f"Copied from {table.source}, Table {table.number}; no trial of this program stands behind these numbers.",
        f"What the brackets are: {table.bracket_source}.",
    )
    return Table((Grid(table.cited, table.stub, table.columns, rows, caption, audit=audit),), layout=layout)


def parse(text: str, seeds: int, kind: BracketKind = "interval") -> Printed:
    """`95.1 (0.4)`, or `95.1 (-)` where nothing is bracketed, as fractions; `kind` says what the brackets hold."""
    mean, _, bracketed = text.partition(" ")
    width = bracketed.strip("()")
    decimals = len(mean.partition(".")[2])
    bracket = math.nan if width == "-" else _exact(float(width) / 100)
    return Printed(_exact(float(mean) / 100), bracket, seeds, 10.0**-decimals / 100, kind)


def _exact(fraction: float) -> float:
    """Without what dividing and adding leave behind the last printed digit."""
    return round(fraction, _DIGITS)


def _table(table: TableEntry, content: PublishedFile) -> PublishedTable:
    return PublishedTable(
        number=table.number,
        stub=table.stub,
        seeds=table.seeds,
        bracket=table.brackets.kind,
        bracket_source=table.brackets.source,
        source=content.source,
        model=content.model,
        models=content.models,
        columns=tuple(_column(column, content.model) for column in table.columns),
        numbers=table.rows,
        differences=tuple(Difference(one.dataset, one.role, one.of, one.what) for one in content.differences),
    )


def _column(column: ColumnEntry, model: str) -> Column:
    return Column(
        path=column.path,
        dataset=column.dataset,
        model=model,
        shots=column.shots,
        side=column.side,
        role=column.role,
        metric=column.metric,
        parts=(Measure(column.split, column.role, column.metric),) if column.split else (),
        headline=not column.split,
    )


def _marks(column: list[str]) -> list[Mark]:
    means = [float(text.split()[0]) for text in column]
    return ["best" if mean == max(means) else "" for mean in means]


def _entry(text: str, table: PublishedTable, mark: Mark) -> Entry:
    """The printed text with its numbers; a deviation is no interval and gives none."""
    printed = parse(text, table.seeds, table.bracket)
    n = 1 if math.isnan(printed.bracket) else table.seeds
    reach = printed.bracket if table.bracket == "interval" else math.nan
    low, high = _exact(printed.mean - reach), _exact(printed.mean + reach)
    return Entry(
        Interval(printed.mean, low, high, n, kind="published"), text=text, mark=mark, planned=n, state="published"
    )
