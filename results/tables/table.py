"""A table as data: grids of entries under grouped headers. Layouts fill it, formats print it; it knows neither."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from flyp_sweep.results.analysis.evidence import Measure, Side
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.statistics.intervals import Interval
from flyp_sweep.results.tables.significance import Mark

ABSENT = "-"
HARMONIC = "harmonic"
"""The role of a column whose numbers are harmonic means of their parts."""

ColumnKind = Literal["number", "count", "aggregate", "difference", "text"]


@dataclass(frozen=True)
class Column:
    """A column: its headers from the outermost to its own, and what stands in it.

    A `number` is the mean over seeds of the mean of `parts`, measured on the cells of (dataset, model, shots) on one
    side; `metric` and `role` (id_test, ood, mean_ood, or harmonic for a harmonic mean) say of what. With `over` it is,
    by seed, the mean of the numbers of those columns, which belong to the data sets of the family `dataset`. A `count`
    (how many seeds) belongs to a whole row, so that it stands again in every part of a table that is too wide to print
    at once. `headline`: a number that a data set is summed up by, ID test, or the mean over its OOD sets or the only
    one of these.
    """

    path: tuple[str, ...]
    kind: ColumnKind = "number"
    dataset: str = ""
    model: str = ""
    shots: int | None = None
    side: Side = "without"
    role: str = ""
    metric: str = ""
    parts: tuple[Measure, ...] = ()
    headline: bool = False
    over: tuple[Column, ...] = ()

    @property
    def sources(self) -> tuple[Column, ...]:
        """The columns that its numbers are made of: those that it is `over`, or itself."""
        return self.over or (self,)

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def stands_apart(self) -> bool:
        return self.kind == "count"


@dataclass(frozen=True)
class ToBest:
    """How much a number exceeds the best of its column, which stands in the row `best`: paired by seed.

    The interval of `difference` and `p_value` are of this comparison by itself, `adjusted` is corrected for the others
    of the column. Both p-values are NaN where nothing is tested.
    """

    best: str
    difference: Interval
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class Entry:
    """What stands in a row under a column.

    `text` takes the place of a number: a state, a count, or a number exactly as it is printed elsewhere. `metric` says
    how a number is printed; without one it is a fraction. `is_short`: the cell holds fewer seeds than were planned.
    `trials` are the ids of the trials that the number was made of.
    `to_best` is absent in the best row itself.
    """

    interval: Interval | None = None
    text: str = ""
    metric: str = ""
    mark: Mark = ""
    is_short: bool = False
    is_signed: bool = False
    planned: int = 0
    state: str = ""
    trials: tuple[str, ...] = ()
    to_best: ToBest | None = None

    @property
    def printed(self) -> str:
        """As the paper prints it, fractions in percent: `95.1 (0.4)`, `95.1 (-)` for a single run, `-` for no number.

        An interval that is not symmetric is printed by its ends: `95.1 [94.6, 95.4]`.
        """
        if self.text or self.interval is None:
            return self.text or ABSENT
        write = metric_of(self.metric).printed
        mean = write(self.interval.mean, signed=self.is_signed)
        if math.isnan(self.interval.half_width):
            return f"{mean} (-)"
        if self.interval.is_symmetric:
            return f"{mean} ({write(self.interval.half_width)})"
        return f"{mean} [{write(self.interval.low)}, {write(self.interval.high)}]"


@dataclass(frozen=True)
class Row:
    """One method; `entries` stand in the order of the grid's columns."""

    label: str
    method: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Grid:
    """One table: headers, rows, what must be said of them, and what they were made of.

    `stub` is the header of the row labels, `notes` what a reader must know of single numbers, `audit` what the numbers
    can be checked by.
    """

    title: str
    stub: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """All grids that were asked for together, of one `layout`.

    `trace` names the trials behind every cell, when that was asked for.
    """

    grids: tuple[Grid, ...]
    trace: tuple[str, ...] = ()
    layout: str = ""
