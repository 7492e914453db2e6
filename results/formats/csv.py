"""The comparison table as tidy CSV: one line per entry, raw fractions at full precision."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from results.tables import SIDES, Block, Column, Row, Side, Table

FIELDS = (
    "dataset", "model", "shots", "method", "ensembling", "column", "role", "metric",
    "mean", "half_width", "confidence", "n", "planned", "state", "best",
)  # fmt: skip


def csv_rows(table: Table) -> str:
    """A header and one line per (row, without/with ensembling, column).

    `mean` and `half_width` are fractions, empty where there is none; `shots` is empty for the whole training split. A
    method without any number keeps a line, so that it does not disappear.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for block in table.blocks:
        for row in block.rows:
            writer.writerows(_lines(block, row))
    return out.getvalue()


def _lines(block: Block, row: Row) -> Iterator[dict[str, object]]:
    identity = {**row.cell.to_json(), "planned": row.planned, "state": row.state}
    if not block.columns:
        yield {**identity, "n": row.n}
    for side in SIDES:
        for column in block.columns:
            yield {**identity, **_entry(block, row, side, column)}


def _entry(block: Block, row: Row, side: Side, column: Column) -> dict[str, object]:
    entry: dict[str, object] = {
        "ensembling": side,
        "column": column.name,
        "role": column.role,
        "metric": column.metric,
        "n": 0,
        "best": block.is_best(row, side, column),
    }
    interval = row.values.get((side, column))
    if interval is not None:
        half_width = "" if math.isnan(interval.half_width) else repr(interval.half_width)
        entry |= {"mean": repr(interval.mean), "half_width": half_width}
        entry |= {"confidence": interval.confidence, "n": interval.n}
    return entry
