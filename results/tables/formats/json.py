"""The table as JSON: everything it holds, numbers raw (accuracies as fractions) and in full, what is absent as null."""

from __future__ import annotations

import json
import math
from typing import Any

from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.statistics.intervals import Interval
from flyp_sweep.results.tables.formats import Format
from flyp_sweep.results.tables.table import Column, Entry, Grid, Table


def json_text(table: Table) -> str:
    """An object with the `layout`, the `trace` and the `tables`; of each its texts, its `columns` and its `rows`.

    The `entries` of a row stand in the order of the columns. `to_best` of an entry is its difference, paired by seed,
    to the row `best` of its column, with the p-value by itself and corrected for its column; the best has null. Its
    `reference` is `best`, or `control` where the row is the control. The `run` of a column is empty unless runs stand
    side by side.
    """
    content = {"layout": table.layout, "tables": [_grid(grid) for grid in table.grids], "trace": list(table.trace)}
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _grid(grid: Grid) -> dict[str, Any]:
    return {
        "title": grid.title,
        "caption": grid.caption,
        "notes": list(grid.notes),
        "audit": list(grid.audit),
        "columns": [_column(column) for column in grid.columns],
        "rows": [
            {"label": row.label, "method": row.method, "entries": [_entry(entry) for entry in row.entries]}
            for row in grid.rows
        ],
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "path": list(column.path),
        "kind": column.kind,
        "dataset": column.dataset,
        "model": column.model,
        "shots": column.shots,
        "ensembling": column.side,
        "role": column.role,
        "metric": column.metric,
        "unit": metric_of(column.metric).unit if column.metric else "",
        "better": metric_of(column.metric).better if column.metric else "",
        "headline": column.headline,
        "run": column.run,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    versus = entry.to_best
    to_best = versus and {
        "best": versus.best,
        "difference": _interval(versus.difference),
        "p": _number(versus.p_value),
        "p_corrected": _number(versus.adjusted),
        "reference": versus.reference,
    }
    return {
        "printed": entry.printed,
        "number": entry.interval and _interval(entry.interval),
        "mark": entry.mark,
        "planned": entry.planned,
        "state": entry.state,
        "trials": list(entry.trials),
        "to_best": to_best,
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return {
        "mean": _number(interval.mean),
        "low": _number(interval.low),
        "high": _number(interval.high),
        "n": interval.n,
        "interval": interval.kind,
        "confidence": interval.confidence,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


FORMAT = Format(json_text, "json")
