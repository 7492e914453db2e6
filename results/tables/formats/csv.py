"""The table as tidy CSV: one line per entry, raw numbers at full precision."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.tables.formats import Format
from flyp_sweep.results.tables.table import Column, Entry, Row, Table

FIELDS = (
    "table", "row", "dataset", "model", "shots", "method", "column", "ensembling", "role", "metric", "unit", "better",
    "mean", "low", "high", "interval", "confidence", "n", "planned", "state", "mark", "printed", "trials",
    "best", "to_best", "to_best_low", "to_best_high", "to_best_n", "p", "p_corrected", "reference", "run",
)  # fmt: skip


def csv_rows(table: Table) -> str:
    """A header and one line per entry.

    `mean`, `low` and `high` are raw, in the `unit` of the metric (fractions, for accuracies), and empty where there is
    no number; `better` says whether the higher or the lower number is; `shots` is empty for the whole training split;
    `column` is the path of headers; `printed` is the entry as the other formats print it; `trials` are the ids of the
    trials behind it, separated by spaces. `to_best` is the difference, paired by seed, to the row `best` of the column,
    with its interval and with its p-value by itself and corrected for its column; the best row itself has none.
    `reference` is `best`, or `control` where `best` is the control. `run` is empty unless runs stand side by side. A
    method without any number keeps its lines, so that it does not disappear.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for entry in entries_of(table):
        writer.writerow({name: _text(value) for name, value in entry.items()})
    return out.getvalue()


def entries_of(table: Table) -> Iterator[dict[str, object]]:
    """A mapping from `FIELDS` per entry, numbers as numbers; what an entry does not have is left out, or NaN."""
    for grid in table.grids:
        for row in grid.rows:
            for column, entry in zip(grid.columns, row.entries, strict=True):
                yield {"table": grid.title, **_identity(row, column), **_entry(entry)}


def _identity(row: Row, column: Column) -> dict[str, object]:
    return {
        "row": row.label,
        "method": row.method,
        "dataset": column.dataset,
        "model": column.model,
        "shots": column.shots,
        "column": column.full_name,
        "ensembling": column.side if column.kind != "count" else "",
        "role": column.role or column.kind,
        "metric": column.metric,
        "unit": metric_of(column.metric).unit if column.metric else "",
        "better": metric_of(column.metric).better if column.metric else "",
        "run": column.run,
    }


def _entry(entry: Entry) -> dict[str, object]:
    written: dict[str, object] = {
        "planned": entry.planned or None,
        "state": entry.state,
        "mark": entry.mark,
        "printed": entry.printed,
        "trials": " ".join(entry.trials),
        "n": 0,
    }
    interval = entry.interval
    if interval is not None:
        written |= {"mean": interval.mean, "low": interval.low, "high": interval.high}
        written |= {"interval": interval.kind, "confidence": interval.confidence, "n": interval.n}
    if entry.to_best is not None:
        difference = entry.to_best.difference
        written |= {"best": entry.to_best.best, "to_best": difference.mean, "to_best_n": difference.n}
        written |= {"to_best_low": difference.low, "to_best_high": difference.high}
        written |= {"p": entry.to_best.p_value, "p_corrected": entry.to_best.adjusted}
        written |= {"reference": entry.to_best.reference}
    return written


def _text(value: object) -> object:
    """A value as CSV writes it: floats in full, and nothing for what is no number."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else value


FORMAT = Format(csv_rows, "csv")
