"""Filling a grid: from the plan of a layout (rows, columns) and the cells of runs to numbers, intervals and marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import harmonic_mean

import numpy as np

from flyp_sweep.results.analysis.cells import CellResult, average
from flyp_sweep.results.analysis.example_values import Array
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.statistics.aggregates import interquartile_mean, stratified_interval, task_mean
from flyp_sweep.results.statistics.intervals import Interval, mean_interval
from flyp_sweep.results.statistics.paired import PairedComparison
from flyp_sweep.results.statistics.two_ways import SEEDS_AND_EXAMPLES, two_way_interval
from flyp_sweep.results.tables.captions import Shown, caption, captioned
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.provenance import audit_lines
from flyp_sweep.results.tables.significance import (
    LEVEL,
    TO_A_REFERENCE,
    ColumnMarks,
    Sample,
    column_marks,
    compare,
    control_marks,
    has_enough_seeds,
    mean_sample,
)
from flyp_sweep.results.tables.table import ABSENT, HARMONIC, Column, Entry, Grid, Reference, Row, ToBest

AGGREGATES = {"mean": task_mean, "iqm": interquartile_mean}


CellKey = tuple[str, str, int | None, str]
"""(dataset, model, shots, run); the run is empty unless runs stand side by side."""


def cell_key(column: Column) -> CellKey:
    """Which cell of a row the numbers of a column are of."""
    return column.dataset, column.model, column.shots, column.run


@dataclass(frozen=True)
class PlannedRow:
    """A row to be filled: its label, its method, and its cells."""

    label: str
    method: str
    cells: Mapping[CellKey, CellResult]

    def held(self, column: Column) -> list[CellResult]:
        """The cells that its number in a column is made of, as far as there are any."""
        return [cell for one in column.sources if (cell := self.cell(one))]

    def cell(self, column: Column) -> CellResult | None:
        return self.cells.get(cell_key(column))

    def sample(self, column: Column) -> Sample | None:
        if column.over:
            return mean_sample([self.sample(one) for one in column.over])
        cell = self.cell(column)
        mean = harmonic_mean if column.role == HARMONIC else average
        values = cell.sample(column.side, column.parts, mean) if cell else {}
        return Sample(values, cell.is_constant) if cell and values else None


@dataclass(frozen=True)
class Plan:
    """A grid before its numbers; `reference` is the row that differences are taken to, `notes` are those of blocks.

    `behind` are the columns that aggregates are over where not all of them are shown, `left_out` the labels of methods
    that are not.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[PlannedRow, ...]
    stub: str = "Methods"
    reference: PlannedRow | None = None
    notes: tuple[str, ...] = ()
    behind: tuple[Column, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def runs(self) -> dict[str, str]:
        """The runs that stand side by side, with their headers; one empty name where none do."""
        return {column.run: column.path[0] if column.run else "" for column in self.columns}

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns that are shown, and those that are not."""
        return self.behind or self.columns


@dataclass(frozen=True)
class _Filled:
    """A column with its entries; `marks` where it is marked, and how many differences to the reference were tested."""

    entries: list[Entry]
    marks: ColumnMarks | None = None
    tested: int = 0


def fill(plan: Plan, options: TableOptions) -> Grid:
    """The grid of a plan."""
    columns = [_filled(column, plan, options) for column in plan.columns]
    rows = tuple(
        Row(row.label, row.method, tuple(column.entries[at] for column in columns)) for at, row in enumerate(plan.rows)
    )
    cells = [cell for row in plan.rows for cell in row.cells.values()]
    grid = Grid(plan.title, plan.stub, plan.columns, rows, notes=_notes(plan, cells))
    marked = [column.marks for column in columns if column.marks]
    shown = Shown(
        _control(plan, options),
        plan.left_out,
        _numbers_in(plan.all_columns) - _numbers_in(plan.columns),
        tuple(filter(None, plan.runs.values())),
    )
    generated = caption(grid, cells, options, marked, sum(column.tested for column in columns), shown)
    return captioned(replace(grid, audit=_audit(plan, columns, options)), generated, options)


def _numbers_in(columns: Sequence[Column]) -> int:
    return sum(column.kind == "number" for column in columns)


def _audit(plan: Plan, columns: Sequence[_Filled], options: TableOptions) -> tuple[str, ...]:
    """The audit of a grid; of runs side by side, that of each."""
    lines: list[str] = []
    for run, label in plan.runs.items():
        cells = [cell for row in plan.rows for key, cell in row.cells.items() if key[-1] == run]
        own = [one for column, one in zip(plan.columns, columns, strict=True) if column.run == run]
        told = audit_lines(
            cells, options, sum(one.marks.comparisons for one in own if one.marks), _control(plan, options)
        )
        lines += [f"{label}: {line}" if run else line for line in told]
    left_out = ", ".join(plan.left_out)
    return (*lines, *([f"Not shown, and not compared: {left_out}."] if left_out else []))


def _control(plan: Plan, options: TableOptions) -> str:
    """The label of the control that the others are compared with; empty without one."""
    at = _control_row(plan, options)
    return "" if at is None else plan.rows[at].label


def _control_row(plan: Plan, options: TableOptions) -> int | None:
    named = (at for at, row in enumerate(plan.rows) if options.control in (row.method, row.label))
    return next(named, None) if options.control else None


def _notes(plan: Plan, cells: Sequence[CellResult]) -> tuple[str, ...]:
    """What must be said of the blocks, and of single cells."""
    blocks = {(cell.cell.dataset, cell.cell.shots) for cell in cells}
    notes = list(plan.notes)
    for row in plan.rows:
        for cell in row.cells.values():
            where = f"{row.label} on {cell.cell.dataset}" if len(blocks) > 1 else row.label
            where += f" ({plan.runs[cell.run]})" if cell.run in plan.runs else ""
            notes += [f"{where}: {note}" for note in cell.notes]
    return tuple(notes)


def _filled(column: Column, plan: Plan, options: TableOptions) -> _Filled:
    if column.kind == "number":
        return _numbers(column, plan, options)
    if column.kind == "difference":
        return _differences(column, plan, options)
    return _Filled([_entry(column, row, plan, options) for row in plan.rows])


def _numbers(column: Column, plan: Plan, options: TableOptions) -> _Filled:
    """The numbers of a column with their differences to the best, and with marks where the column is marked."""
    states = not any(one.kind == "count" for one in plan.columns)
    samples = [row.sample(column) for row in plan.rows]
    found = _marks_of(samples, column, plan, options)
    numbers = [
        _number(column, row, sample, options, states=states) for row, sample in zip(plan.rows, samples, strict=True)
    ]
    entries = _compared(numbers, found, plan, "control" if options.control else "best")
    return _Filled(_marked(entries, found), found) if _is_marked(column, options) else _Filled(entries)


def _marks_of(samples: Sequence[Sample | None], column: Column, plan: Plan, options: TableOptions) -> ColumnMarks:
    """The marks of a column: against the control where one is named, else against the best number."""
    lower = metric_of(column.metric).lower_is_better
    given = options.test, options.correction, options.confidence
    control = _control_row(plan, options)
    if control is not None:
        return control_marks(samples, control, *given, lower_is_better=lower)
    if options.control:  # a method of other tables of the run
        return column_marks([None] * len(samples), *given)
    return column_marks(samples, *given, lower_is_better=lower)


def _is_marked(column: Column, options: TableOptions) -> bool:
    return options.marks == "all" or (options.marks == "headline" and column.headline)


def _compared(entries: Sequence[Entry], found: ColumnMarks, plan: Plan, reference: Reference) -> list[Entry]:
    """Entries with their differences to the best of the column, or to the control."""
    if found.best is None:
        return list(entries)
    best = plan.rows[found.best].label
    return [
        entry
        if one is None
        else replace(entry, to_best=ToBest(best, one.comparison.difference, one.p_value, one.adjusted, reference))
        for entry, one in zip(entries, found.versus, strict=True)
    ]


def _marked(entries: Sequence[Entry], found: ColumnMarks) -> list[Entry]:
    """Entries with their marks; what prints the same mean as the best is marked like it."""
    best = {_mean(entry) for entry, mark in zip(entries, found.marks, strict=True) if mark == "best"}
    return [
        replace(entry, mark="best" if entry.interval and row not in found.few and _mean(entry) in best else mark)
        for row, (entry, mark) in enumerate(zip(entries, found.marks, strict=True))
    ]


def _mean(entry: Entry) -> str:
    return entry.printed.partition(" ")[0]


def _entry(column: Column, row: PlannedRow, plan: Plan, options: TableOptions) -> Entry:
    """What stands in a column that holds no number of its own."""
    if column.kind == "count":
        return _count(row.held(column))
    if column.kind == "aggregate":
        return _aggregate(column, row, plan, options)
    return Entry(text=ABSENT)


def _number(column: Column, row: PlannedRow, sample: Sample | None, options: TableOptions, *, states: bool) -> Entry:
    """The mean over seeds; where there is none the state of its cells, when `states` are told here."""
    cells = row.held(column)
    if not cells:
        return Entry(text=ABSENT)
    state, planned = _state(cells), max(cell.planned for cell in cells)
    if sample is None:
        return Entry(text=state if states and state != "done" else ABSENT, planned=planned, state=state)
    seeds = sample.values
    if options.interval == SEEDS_AND_EXAMPLES:
        interval = _over_examples(column, row, sample, options)
    else:
        interval = mean_interval(list(seeds.values()), options.interval, options.confidence)
    return Entry(
        interval=interval,
        metric=column.metric,
        decimals=options.decimals,
        is_short=len(seeds) < planned,
        planned=planned,
        state=state,
        trials=tuple(
            trial.trial_id for cell in cells for trial in cell.repeats.done if trial.seed in seeds or cell.is_constant
        ),
    )


def _over_examples(column: Column, row: PlannedRow, sample: Sample, options: TableOptions) -> Interval:
    """The two-way interval of a number. Of a mean over data sets, splits of the same images are one split.

    ID test splits that are held out of training splits with common images have common images too, and are not the
    same: of their mean there is no such interval.
    """
    by_images: dict[str, list[Array]] = {}
    for one in column.sources:
        if (cell := row.cell(one)) and cell.selection:
            found = cell.values(one.side, one.parts, sample.values)
            for measure, values in zip(one.parts, found, strict=True):
                images = cell.selection.evaluated.get(measure.split, measure.split) if column.over else measure.split
                by_images.setdefault(images, []).append(values)
    if column.over and column.role == "id_test" and len(by_images) > 1:
        return Interval(sample.mean, np.nan, np.nan, len(sample.values), options.confidence, SEEDS_AND_EXAMPLES)
    return two_way_interval([np.mean(values, axis=0) for values in by_images.values()], options.confidence)


def _state(cells: Sequence[CellResult]) -> str:
    """The state of the first cell that is not done."""
    return next((cell.state for cell in cells if cell.state != "done"), "done")


def _count(cells: Sequence[CellResult]) -> Entry:
    """`5`, `4 of 5`, or the state where there is no number yet; of several cells, that of the fewest."""
    if not cells:
        return Entry(text=ABSENT)
    fewest = min(cells, key=lambda cell: (cell.n - cell.planned, cell.n))
    counted = str(fewest.n) if fewest.n == fewest.planned else f"{fewest.n} of {fewest.planned}"
    state = _state(cells)
    is_short = any(cell.notes for cell in cells)
    return Entry(text=counted if state == "done" else state, is_short=is_short, planned=fewest.planned, state=state)


def _aggregate(column: Column, row: PlannedRow, plan: Plan, options: TableOptions) -> Entry:
    """Over all numbers of the row on the column's side; nothing for a row that lacks one, which has other tasks."""
    alike = (column.side, column.run)
    columns = [one for one in plan.all_columns if one.kind == "number" and (one.side, one.run) == alike]
    samples = [row.sample(one) for one in columns]
    tasks = [list(sample.values.values()) for sample in samples if sample]
    if len(tasks) < len(columns):
        return Entry(text=ABSENT)
    interval = stratified_interval(tasks, AGGREGATES[column.role], options.confidence)
    return Entry(interval, metric=column.metric, decimals=options.decimals)


def _differences(column: Column, plan: Plan, options: TableOptions) -> _Filled:
    """How much each row exceeds the reference, marked where it is shown to."""
    found = [_difference(column, row, plan, options) for row in plan.rows]
    p_values = np.array([one.p_value if one and has_enough_seeds(one) else np.nan for one in found])
    adjusted = TO_A_REFERENCE[options.correction](p_values)
    entries = [
        Entry(text=ABSENT)
        if one is None
        else Entry(one.difference, metric=column.metric, is_signed=True, decimals=options.decimals)
        for one in found
    ]
    if not _is_marked(column, options):
        return _Filled(entries)
    marked = [replace(entry, mark="differs" if p <= LEVEL else "") for entry, p in zip(entries, adjusted, strict=True)]
    return _Filled(marked, tested=int(np.isfinite(p_values).sum()))


def _difference(column: Column, row: PlannedRow, plan: Plan, options: TableOptions) -> PairedComparison | None:
    """The row against the reference, paired by seed; None where these have no seed in common."""
    own = row.sample(column)
    reference = plan.reference.sample(column) if plan.reference and plan.reference is not row else None
    return compare(own, reference, options.test, options.confidence) if own and reference else None
