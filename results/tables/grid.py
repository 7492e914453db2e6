"""Filling a grid: from the plan of a layout (rows, columns) and the cells of runs to numbers, intervals and marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.statistics.aggregates import interquartile_mean, stratified_interval, task_mean
from flyp_sweep.results.statistics.intervals import mean_interval
from flyp_sweep.results.statistics.multiplicity import holm
from flyp_sweep.results.statistics.paired import PairedComparison, paired_difference
from flyp_sweep.results.tables.captions import caption
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.provenance import audit_lines
from flyp_sweep.results.tables.significance import LEVEL, Mark, Marks, Sample, marks
from flyp_sweep.results.tables.table import ABSENT, Column, Entry, Grid, Row

AGGREGATES = {"mean": task_mean, "iqm": interquartile_mean}


@dataclass(frozen=True)
class PlannedRow:
    """A row to be filled: its label, its method, and its cells by (dataset, model, shots)."""

    label: str
    method: str
    cells: Mapping[tuple[str, str, int | None], CellResult]

    def cell(self, column: Column) -> CellResult | None:
        return self.cells.get((column.dataset, column.model, column.shots))

    def sample(self, column: Column) -> Sample | None:
        cell = self.cell(column)
        values = cell.sample(column.side, column.parts) if cell else {}
        return Sample(values, cell.is_constant) if cell and values else None


@dataclass(frozen=True)
class Plan:
    """A grid before its numbers; `reference` is the row that differences are taken to, `notes` are those of blocks."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[PlannedRow, ...]
    stub: str = "Methods"
    reference: PlannedRow | None = None
    notes: tuple[str, ...] = ()


def fill(plan: Plan, options: TableOptions) -> Grid:
    """The grid of a plan."""
    samples = {
        index: [row.sample(column) for row in plan.rows]
        for index, column in enumerate(plan.columns)
        if column.kind == "number"
    }
    marked = marks(list(samples.values()), options.test)
    entries = [[_entry(column, row, plan, options) for row in plan.rows] for column in plan.columns]
    for (index, at), difference in _differences(plan, options).items():
        entries[index][at] = difference
    states = not any(column.kind == "count" for column in plan.columns)
    for (index, own), column_marks in zip(samples.items(), marked.columns, strict=True):
        cells = [row.cell(plan.columns[index]) for row in plan.rows]
        numbers = [_number(cell, sample, options, states=states) for cell, sample in zip(cells, own, strict=True)]
        entries[index] = _marked(numbers, column_marks)
    rows = tuple(
        Row(row.label, row.method, tuple(column[at] for column in entries)) for at, row in enumerate(plan.rows)
    )
    return _annotated(Grid(plan.title, plan.stub, plan.columns, rows), plan, options, marked)


def _annotated(grid: Grid, plan: Plan, options: TableOptions, marked: Marks) -> Grid:
    """The grid with its caption, notes and audit lines."""
    cells = [cell for row in plan.rows for cell in row.cells.values()]
    blocks = {(cell.cell.dataset, cell.cell.shots) for cell in cells}
    notes = list(plan.notes)
    for row in plan.rows:
        for cell in row.cells.values():
            where = f"{row.label} on {cell.cell.dataset}" if len(blocks) > 1 else row.label
            notes += [f"{where}: {note}" for note in cell.notes]
    return replace(
        grid,
        caption=caption(grid, cells, options, marked.comparisons),
        notes=tuple(notes),
        audit=audit_lines(cells, options, marked.comparisons),
    )


def _marked(entries: Sequence[Entry], column_marks: Sequence[Mark]) -> list[Entry]:
    """Entries with their marks; what prints the same mean as the best is marked like it."""
    best = {_mean(entry) for entry, mark in zip(entries, column_marks, strict=True) if mark == "best"}
    return [
        replace(entry, mark="best" if entry.interval and _mean(entry) in best else mark)
        for entry, mark in zip(entries, column_marks, strict=True)
    ]


def _mean(entry: Entry) -> str:
    return entry.printed.partition(" ")[0]


def _entry(column: Column, row: PlannedRow, plan: Plan, options: TableOptions) -> Entry:
    """What stands in a column that holds no number of its own."""
    if column.kind == "count":
        return _count(row.cell(column))
    if column.kind == "aggregate":
        return _aggregate(column, row, plan, options)
    return Entry(text=ABSENT)


def _number(cell: CellResult | None, sample: Sample | None, options: TableOptions, *, states: bool) -> Entry:
    """The mean over seeds; where there is none the cell's state, when `states` are told here."""
    if cell is None:
        return Entry(text=ABSENT)
    if sample is None:
        text = cell.state if states and cell.state != "done" else ABSENT
        return Entry(text=text, planned=cell.planned, state=cell.state)
    values = sample.values
    return Entry(
        interval=mean_interval(list(values.values()), options.interval, options.confidence),
        is_short=len(values) < cell.planned,
        planned=cell.planned,
        state=cell.state,
        trials=tuple(trial.trial_id for trial in cell.repeats.done if trial.seed in values),
    )


def _count(cell: CellResult | None) -> Entry:
    """`5`, `4 of 5`, or the state where there is no number yet."""
    if cell is None:
        return Entry(text=ABSENT)
    counted = str(cell.n) if cell.n == cell.planned else f"{cell.n} of {cell.planned}"
    text = counted if cell.state == "done" else cell.state
    return Entry(text=text, is_short=bool(cell.notes), planned=cell.planned, state=cell.state)


def _aggregate(column: Column, row: PlannedRow, plan: Plan, options: TableOptions) -> Entry:
    """Over all numbers of the row on the column's side; nothing for a row that lacks one, which has other tasks."""
    columns = [one for one in plan.columns if one.kind == "number" and one.side == column.side]
    samples = [row.sample(one) for one in columns]
    tasks = [list(sample.values.values()) for sample in samples if sample]
    if len(tasks) < len(columns):
        return Entry(text=ABSENT)
    return Entry(interval=stratified_interval(tasks, AGGREGATES[column.role], options.confidence))


def _differences(plan: Plan, options: TableOptions) -> dict[tuple[int, int], Entry]:
    """By column and row how much the row exceeds the reference; marked where, over all of these, it is shown to."""
    compared = {
        (index, at): comparison
        for index, column in enumerate(plan.columns)
        for at, row in enumerate(plan.rows)
        if column.kind == "difference" and (comparison := _difference(column, row, plan, options)) is not None
    }
    adjusted = holm(np.array([comparison.p_value for comparison in compared.values()]))
    return {
        place: Entry(interval=comparison.difference, is_signed=True, mark="differs" if p <= LEVEL else "")
        for (place, comparison), p in zip(compared.items(), adjusted, strict=True)
    }


def _difference(column: Column, row: PlannedRow, plan: Plan, options: TableOptions) -> PairedComparison | None:
    """The row against the reference, paired by seed; None where these have no seed in common."""
    own = row.sample(column)
    reference = plan.reference.sample(column) if plan.reference and plan.reference is not row else None
    if own is None or reference is None:
        return None
    comparison = paired_difference(_aligned(own, reference), _aligned(reference, own), options.test, options.confidence)
    return comparison if comparison.seeds else None


def _aligned(sample: Sample, other: Sample) -> Mapping[int, float]:
    """The sample's values; a constant stands at every seed of the other."""
    if not sample.constant or other.constant:
        return sample.values
    return dict.fromkeys(other.values, next(iter(sample.values.values())))
