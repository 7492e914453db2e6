"""The small table that a run ends with: per group of cells, methods x (ID, mean OOD) without and with ensembling."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import Evidence
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.naming import shots_label
from flyp_sweep.results.tables.captions import mean_and_interval
from flyp_sweep.results.tables.grid import Plan, fill
from flyp_sweep.results.tables.layouts import layout_of
from flyp_sweep.results.tables.make import comparable_blocks
from flyp_sweep.results.tables.options import DEFAULTS, TableOptions
from flyp_sweep.results.tables.presentation import shaped
from flyp_sweep.results.tables.significance import FEWEST_SEEDS, Mark
from flyp_sweep.results.tables.table import Column, Grid

WIDEST = "held_out"
"""The layout with the columns of every group, those of held-out domains included; the summary takes a few of them."""


@dataclass(frozen=True)
class Summary:
    """A grid for each group of cells that share data set, model and shots; the `legend` says how to read all of them.

    What the rows of a grid share is in its title, e.g. `digits, digits-clip, full`. The grids have no captions: those
    are in the tables of the run. The `notes` are those of all grids, each once.
    """

    grids: tuple[Grid, ...]
    legend: str
    notes: tuple[str, ...] = ()


def summary_of(evidence: Evidence, options: TableOptions = DEFAULTS) -> Summary:
    """The summary of a run: the numbers and marks are those of its tables. Raises InputError as `make_table` does.

    The `options` are those of the tables; columns and caption are the summary's own.
    """
    options = replace(options, aggregate=False, columns=(), caption=None)
    plans = layout_of(WIDEST).plans(comparable_blocks([evidence], options), options)
    plans = shaped([replace(plan, columns=_headlines(plan)) for plan in plans], options)
    grids = []
    notes: dict[str, None] = {}
    for plan in plans:
        cells = [cell for row in plan.rows for cell in row.cells.values()]
        grid = fill(plan, options)
        notes.update(dict.fromkeys(grid.notes))
        grids.append(replace(grid, title=_title(plan, cells), caption="", notes=(), audit=()))
    every = [cell for plan in plans for row in plan.rows for cell in row.cells.values()]
    return Summary(tuple(grids), _legend(grids, every, options), tuple(notes))


def _headlines(plan: Plan) -> tuple[Column, ...]:
    """ID test, mean OOD (or the only OOD set) and the seeds; of held-out domains the means over all of them."""
    in_family = any(column.over for column in plan.columns if column.kind == "number")
    return tuple(
        column
        for column in plan.columns
        if column.kind == "count" or (column.headline and bool(column.over) == in_family)
    )


def _title(plan: Plan, cells: Iterable[CellResult]) -> str:
    """The title of the plan, which leaves out that cells have the whole training split."""
    is_full = all(cell.cell.shots is None for cell in cells)
    return f"{plan.title}, {shots_label(None)}" if is_full else plan.title


def _legend(grids: Iterable[Grid], cells: Iterable[CellResult], options: TableOptions) -> str:
    """Units, what a number is, and what is marked; empty where there are no numbers."""
    numbers = [column for grid in grids for column in grid.columns if column.kind == "number"]
    if not numbers:
        return ""
    metrics = " or ".join(dict.fromkeys(metric_of(column.metric).heading for column in numbers))
    marks = {entry.mark for grid in grids for row in grid.rows for entry in row.entries}
    return f"{metrics}: {mean_and_interval(cells, options)}. {_marks(marks, numbers, options.control)}"


def _marks(marks: Collection[Mark], numbers: Iterable[Column], control: str | None) -> str:
    """What the marks mean, in few words."""
    if control:
        return (
            "Bold: shown to be better than the control; underlined: not shown to differ from it; unmarked: shown to be "
            f"worse, or fewer than {FEWEST_SEEDS} seeds."
        )
    if not any(marks):
        return f"No marks: fewer than {FEWEST_SEEDS} seeds."
    best = " or ".join(dict.fromkeys(metric_of(column.metric).best for column in numbers))
    return f"Bold: {best} of its column; underlined: not shown to be worse."
