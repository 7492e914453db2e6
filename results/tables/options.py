"""What a user can ask of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from flyp_sweep.results.analysis.evidence import SIDES, Side
from flyp_sweep.results.tables.significance import Correction

Marks = Literal["headline", "all", "none"]
Ensembling = Literal["without", "with", "both"]


@dataclass(frozen=True)
class TableOptions:
    """How numbers are made and shown: `interval` is a key of `INTERVALS`, or `seeds+examples`, `test` one of `TESTS`.

    `marks` says which columns are marked: ID and mean OOD (`headline`), single OOD sets too (`all`), or none.
    `correction` says how p-values are corrected within a column. `ensembling` left out is what the layout's own table
    in the paper shows. `aggregate` adds mean and interquartile mean over data sets where a layout has them, `trace` the
    ids of the trials behind every cell.

    The rest is presentation, as in the section `tables` of a search space. `labels` maps names and headers to printed
    texts, `columns` and `methods` say which of them are shown in which order (empty: all, in the layout's order),
    `sort` names the column whose best number comes first, and `control` the method that all others are compared with
    in place of the best. `caption` takes the place of the generated caption, `decimals` of those of the metrics.
    """

    interval: str = "t"
    test: str = "t"
    marks: Marks = "headline"
    correction: Correction = "holm"
    confidence: float = 0.95
    ensembling: Ensembling | None = None
    aggregate: bool = True
    trace: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    sort: str | None = None
    control: str | None = None
    caption: str | None = None
    decimals: int | None = None

    def sides(self, default: Ensembling) -> tuple[Side, ...]:
        asked = self.ensembling or default
        return SIDES if asked == "both" else (asked,)


DEFAULTS = TableOptions()
