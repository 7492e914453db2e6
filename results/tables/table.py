"""A table as data: grids of entries under grouped headers. Layouts fill it, formats print it.

It knows no layout, and of the formats only what notebooks show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from flyp_sweep.results.analysis.evidence import Measure, Side
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.statistics.intervals import Interval
from flyp_sweep.results.tables.significance import Mark

if TYPE_CHECKING:
    import pandas as pd

ABSENT = "-"
BOLD = ("best", "differs", "better")
"""The marks that are printed bold; `level` is underlined."""
HARMONIC = "harmonic"
"""The role of a column whose numbers are harmonic means of their parts."""

ColumnKind = Literal["number", "count", "aggregate", "difference", "text"]
Reference = Literal["best", "control"]


@dataclass(frozen=True)
class Column:
    """A column: its headers from the outermost to its own, and what stands in it.

    A `number` is the mean over seeds of the mean of `parts`, measured on the cells of (dataset, model, shots) on one
    side; `metric` and `role` (id_test, ood, mean_ood, or harmonic for a harmonic mean) say of what. With `over` it is,
    by seed, the mean of the numbers of those columns, which belong to the data sets of the family `dataset`. A `count`
    (how many seeds) belongs to a whole row, so that it stands again in every part of a table that is too wide to print
    at once, unless runs stand side by side. `headline`: a number that a data set is summed up by, ID test, or the mean
    over its OOD sets or the only one of these. `run` is set where runs stand side by side: the run's name, which is
    then the outermost header.
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
    run: str = ""

    @property
    def sources(self) -> tuple[Column, ...]:
        """The columns that its numbers are made of: those that it is `over`, or itself."""
        return self.over or (self,)

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def own_path(self) -> tuple[str, ...]:
        """Its headers without that of the run."""
        return self.path[1:] if self.run else self.path

    @property
    def full_name(self) -> str:
        """All headers in one line, as in CSV: `without ensembling / ID`."""
        return " / ".join(filter(None, self.path))

    @property
    def stands_apart(self) -> bool:
        return self.kind == "count" and not self.run


@dataclass(frozen=True)
class ToBest:
    """How much a number exceeds the best of its column, which stands in the row `best`: paired by seed.

    `reference` is `control` where `best` is a method that was named as the control instead, whatever its number.

    The interval of `difference` and `p_value` are of this comparison by itself, `adjusted` is corrected for the others
    of the column. Both p-values are NaN where nothing is tested.
    """

    best: str
    difference: Interval
    p_value: float
    adjusted: float
    reference: Reference = "best"


@dataclass(frozen=True)
class Entry:
    """What stands in a row under a column.

    `text` takes the place of a number: a state, a count, or a number exactly as it is printed elsewhere. `metric` says
    how a number is printed; without one it is a fraction. `is_short`: the cell holds fewer seeds than were planned.
    `decimals` takes the place of the metric's. `trials` are the ids of the trials that the number was made of.
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
    decimals: int | None = None

    @property
    def printed(self) -> str:
        """As the paper prints it, fractions in percent: `95.1 (0.4)`, `95.1 (-)` for a single run, `-` for no number.

        An interval that is not symmetric is printed by its ends: `95.1 [94.6, 95.4]`.
        """
        if self.text or self.interval is None:
            return self.text or ABSENT
        write = partial(metric_of(self.metric).printed, decimals=self.decimals)
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
    can be checked by. `is_captioned`: a user wrote the caption.
    """

    title: str
    stub: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()
    is_captioned: bool = False


@dataclass(frozen=True)
class Table:
    """All grids that were asked for together, of one `layout`.

    `trace` names the trials behind every cell, when that was asked for. In a notebook a table shows itself.
    """

    grids: tuple[Grid, ...]
    trace: tuple[str, ...] = ()
    layout: str = ""

    def to_frame(self) -> pd.DataFrame:
        """The table in tidy form: one row per entry, with the columns of the CSV and numbers as numbers.

        `mean`, `low`, `high`, `to_best`, `p` and their like are floats, NaN where there is none, in the `unit` of the
        metric: accuracies are fractions. `n`, `planned`, `shots` and `to_best_n` are integers, `<NA>` where there is
        none. `printed` is the text in the other formats, `column` the path of headers. For the printed form with a
        method per row: `table.to_frame().pivot(index="row", columns="column", values="printed")`.
        """
        from flyp_sweep.results.tables.frame import to_frame

        return to_frame(self)

    def _repr_html_(self) -> str:
        """The table as HTML, for notebooks: IPython calls this method."""
        from flyp_sweep.results.tables.formats.html import html

        return html(self)
