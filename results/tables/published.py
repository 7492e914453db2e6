"""The paper's own tables: printed as they are, and as what our numbers are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from flyp_sweep.results.naming import method_label
from flyp_sweep.results.statistics.agreement import Printed
from flyp_sweep.results.statistics.intervals import Interval
from flyp_sweep.results.tables.significance import Mark
from flyp_sweep.results.tables.table import Column, Entry, Grid, Row, Table
from flyp_sweep.search_spaces.errors import InputError, nearest

FILE = Path(__file__).parent / "published.yaml"

_DIGITS = 8
"""The paper prints fractions to fewer."""


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper. `numbers` holds per method the entries as printed, in the order of `columns`."""

    number: int
    stub: str
    seeds: int
    source: str
    model: str
    columns: tuple[Column, ...]
    numbers: Mapping[str, tuple[str, ...]]

    def printed(self, method: str, column: Column) -> str | None:
        """What the paper prints for a method in the column of the same `key`; None if nothing."""
        for index, own in enumerate(self.columns):
            if key(own) == key(column) and method in self.numbers:
                return self.numbers[method][index]
        return None


def key(column: Column) -> tuple[str, int | None, str, str]:
    """What makes a column of ours that of the paper; the mean over OOD sets is the paper's OOD."""
    return column.dataset, column.shots, column.side, "ood" if column.role == "mean_ood" else column.role


@cache
def published_tables() -> Mapping[str, PublishedTable]:
    """The tables of `published.yaml`, by the layout that they have."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {name: _table(table, content) for name, table in content["tables"].items()}


def published_table(layout: str) -> PublishedTable:
    """The paper's table of a layout. Raises InputError for a layout that the paper has no table of."""
    tables = published_tables()
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


def reprint(layout: str) -> Table:
    """The paper's own table, digit for digit; the highest of each column is marked."""
    table = published_table(layout)
    marks = [_marks([table.numbers[method][at] for method in table.numbers]) for at in range(len(table.columns))]
    rows = tuple(
        Row(
            method_label(method),
            method,
            tuple(_entry(text, table.seeds, marks[at][index]) for at, text in enumerate(entries)),
        )
        for index, (method, entries) in enumerate(table.numbers.items())
    )
    caption = (
        f"As printed, {table.model}, in %: mean over {table.seeds} seeds with its "
        "95% interval. Bold: highest of its column as printed; nothing is tested."
    )
    audit = (
        f"Copied from {table.source}, Table {table.number}; no trial of this program stands behind these numbers.",
    )
    title = f"Table {table.number} of {table.source}"
    return Table((Grid(title, table.stub, table.columns, rows, caption, audit=audit),), layout=layout)


def parse(text: str, seeds: int) -> Printed:
    """`95.1 (0.4)`, or `95.1 (-)` where there is no interval, as fractions."""
    mean, _, bracketed = text.partition(" ")
    width = bracketed.strip("()")
    decimals = len(mean.partition(".")[2])
    half_width = math.nan if width == "-" else _exact(float(width) / 100)
    return Printed(_exact(float(mean) / 100), half_width, seeds, 10.0**-decimals / 100)


def _exact(fraction: float) -> float:
    """Without what dividing and adding leave behind the last printed digit."""
    return round(fraction, _DIGITS)


def _table(table: Mapping[str, Any], content: Mapping[str, Any]) -> PublishedTable:
    columns = tuple(
        Column(
            path=tuple(column["path"]),
            dataset=column["dataset"],
            model=content["model"],
            shots=column.get("shots"),
            side=column["side"],
            role=column["role"],
            metric=column["metric"],
        )
        for column in table["columns"]
    )
    numbers = {method: tuple(entries) for method, entries in table["rows"].items()}
    return PublishedTable(
        table["number"], table["stub"], table["seeds"], content["source"], content["model"], columns, numbers
    )


def _marks(column: list[str]) -> list[Mark]:
    means = [float(text.split()[0]) for text in column]
    return ["best" if mean == max(means) else "" for mean in means]


def _entry(text: str, seeds: int, mark: Mark) -> Entry:
    printed = parse(text, seeds)
    n = 1 if math.isnan(printed.half_width) else seeds
    low, high = _exact(printed.mean - printed.half_width), _exact(printed.mean + printed.half_width)
    return Entry(
        Interval(printed.mean, low, high, n, kind="published"), text=text, mark=mark, planned=n, state="published"
    )
