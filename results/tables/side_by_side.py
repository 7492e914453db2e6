"""Runs that hold the same cells, side by side: every column belongs to one run, so that no number mixes two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.naming import method_order
from flyp_sweep.results.tables.columns import row_label
from flyp_sweep.results.tables.grid import Plan, PlannedRow
from flyp_sweep.results.tables.table import Column


def share_cells(results: Sequence[CellResult]) -> bool:
    """Whether two runs hold the same cell."""
    return len({result.cell for result in results}) < len(results)


def side_by_side(plans: Mapping[str, Sequence[Plan]]) -> list[Plan]:
    """The plans of several runs, by run, those of one title as one: the run is the outermost header of its columns."""
    titles = dict.fromkeys(plan.title for held in plans.values() for plan in held)
    return [
        _joined({run: plan for run, held in plans.items() for plan in held if plan.title == title}) for title in titles
    ]


def _joined(plans: Mapping[str, Plan]) -> Plan:
    first = next(iter(plans.values()))
    methods = list(dict.fromkeys(row.method for plan in plans.values() for row in plan.rows))
    rows = [_row(method, plans) for method in sorted(methods, key=lambda one: method_order(one, methods))]
    reference = first.reference and next(row for row in rows if row.method == first.reference.method)
    return Plan(
        first.title,
        tuple(_of_run(column, run) for run, plan in plans.items() for column in plan.columns),
        tuple(rows),
        first.stub,
        reference,
        tuple(f"{run}: {note}" for run, plan in plans.items() for note in plan.notes),
    )


def _row(method: str, plans: Mapping[str, Plan]) -> PlannedRow:
    """The row of a method in all runs, its cells told apart by run."""
    cells = {
        (dataset, model, shots, run): cell
        for run, plan in plans.items()
        for row in plan.rows
        if row.method == method
        for (dataset, model, shots, _), cell in row.cells.items()
    }
    return PlannedRow(row_label(list(cells.values())), method, cells)


def _of_run(column: Column, run: str) -> Column:
    over = tuple(replace(one, run=run) for one in column.over)
    return replace(column, run=run, path=(run, *column.path), over=over)
