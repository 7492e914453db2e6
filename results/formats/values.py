"""How one entry of a table is written, in percent."""

from __future__ import annotations

import math
from collections.abc import Callable

from results.statistics import Interval
from results.tables import Block, Column, Row, Side, percent

ABSENT = "-"


def bracketed(interval: Interval) -> str:
    """As the paper prints it: `95.1 (0.4)`, and `95.1 (-)` for a single run."""
    half_width = "-" if math.isnan(interval.half_width) else percent(interval.half_width)
    return f"{percent(interval.mean)} ({half_width})"


def plus_minus(interval: Interval) -> str:
    """`95.1 ±0.4`, and `95.1 (-)` for a single run."""
    if math.isnan(interval.half_width):
        return bracketed(interval)
    return f"{percent(interval.mean)} ±{percent(interval.half_width)}"


def entries(
    block: Block, row: Row, side: Side, write: Callable[[Interval], str], bold: Callable[[str], str]
) -> list[str]:
    """The row's entries on one side, bold where they lead their column, `-` where there is no number."""

    def entry(column: Column) -> str:
        interval = row.values.get((side, column))
        if interval is None:
            return ABSENT
        return bold(write(interval)) if block.is_best(row, side, column) else write(interval)

    return [entry(column) for column in block.columns]
