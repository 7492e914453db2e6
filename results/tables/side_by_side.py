"""Runs that hold the same cells, side by side: every column belongs to one run, so that no number mixes two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.naming import method_order
from flyp_sweep.results.tables.columns import row_label
from flyp_sweep.results.tables.grid import Plan, PlannedRow
from flyp_sweep.results.tables.table import Column


def share_cells(results: Sequence[CellResult]) -> bool:
    """Whether two runs hold the same cell."""
    return len({result.cell for result in results}) < len(results)


def side_by_side(plans: Mapping[str, Sequence[Plan]], labels: Mapping[str, str]) -> list[Plan]:
    """The plans of several runs, by run, those of one title as one: the run is the outermost header of its columns.

    A run is called by its label, if it has one.
    """
    titles = dict.fromkeys(plan.title for held in plans.values() for plan in held)
    return [
        _joined({run: plan for run, held in plans.items() for plan in held if plan.title == title}, labels)
        for title in titles
    ]


def _joined(plans: Mapping[str, Plan], labels: Mapping[str, str]) -> Plan:
    first = next(iter(plans.values()))
    methods = list(dict.fromkeys(row.method for plan in plans.values() for row in plan.rows))
    rows = [_row(method, plans) for method in sorted(methods, key=lambda one: method_order(one, methods))]
    reference = first.reference and next(row for row in rows if row.method == first.reference.method)
    return Plan(
        first.title,
        tuple(column for run, plan in plans.items() for column in _columns(plan, run, labels.get(run, run))),
        tuple(rows),
        first.stub,
        reference,
        tuple(f"{labels.get(run, run)}: {note}" for run, plan in plans.items() for note in plan.notes),
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


def _columns(plan: Plan, run: str, label: str) -> Iterator[Column]:
    """The columns of a run below its header; one with fewer headers than others has blanks between."""
    depth = max((len(column.path) for column in plan.columns), default=0)
    for column in plan.columns:
        blanks = ("",) * (depth - len(column.path))
        over = tuple(replace(one, run=run) for one in column.over)
        yield replace(column, run=run, path=(label, *blanks, *column.path), over=over)
