"""Our numbers beside the paper's: both intervals, the difference, and whether the two are compatible."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import SIDE_LABELS, Evidence
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.statistics.agreement import agreement
from flyp_sweep.results.tables.captions import captioned, mean_and_interval, selected_on
from flyp_sweep.results.tables.grid import Plan, PlannedRow, cell_key, fill
from flyp_sweep.results.tables.layouts import AUTO, layout_of
from flyp_sweep.results.tables.make import comparable_blocks, natural_layout, trace
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.presentation import presented
from flyp_sweep.results.tables.provenance import audit_lines
from flyp_sweep.results.tables.published import FILE, PublishedTable, parse, published_table, published_tables
from flyp_sweep.results.tables.table import ABSENT, Column, Entry, Grid, Row, Table
from flyp_sweep.search_spaces.errors import InputError

VERDICTS = {True: "yes", False: "no", None: ABSENT}
DIFFERS = ", other images"
"""Beside the verdict where ours was trained or tested on other images than the paper's; a note says on which."""
OTHER_MODEL = "other model"
"""The verdict where ours is not the paper's model: nothing is compared."""


def against_published(
    evidence: Iterable[Evidence],
    layout: str = AUTO,
    options: TableOptions | None = None,
    published: str | Path = FILE,
) -> Table:
    """The table of runs in a layout that the paper has, with the paper's numbers beside ours.

    `published` is a file of another paper's numbers, in the form that docs/tables.md explains. Only columns that the
    paper's table has are shown. Numbers of another model than the paper's are not compared, and
    their rows say so. Raises InputError when the paper has none of the columns, for a layout that it lacks, when our
    metric in a column is not the paper's, and as `make_table` does.
    """
    options = replace(options or TableOptions(), aggregate=False)
    if options.control:
        raise InputError("--control: found --against, whose numbers have no marks; leave one of them out")
    path = Path(published)
    blocks = comparable_blocks(list(evidence), options)
    name = _paper_layout(blocks, published_tables(path)) if layout == AUTO else layout
    theirs = published_table(name, path)
    shown = presented(layout_of(name).plans(blocks, options), blocks, options)
    plans = [part for plan in shown for part in _shared_parts(plan, theirs)]
    if not plans:
        datasets = ", ".join(dict.fromkeys(block.dataset for block in blocks)) or "no cell"
        known = ", ".join(dict.fromkeys(column.dataset for column in theirs.columns))
        raise InputError(
            f"--against {'published' if path == FILE else path}: found {datasets}, expected numbers that "
            f"{theirs.cited if path != FILE else f'Table {theirs.number} of the paper'} has: "
            f"{known}; choose another --layout"
        )
    grids = tuple(_compare(plan, theirs, options) for plan in plans)
    return Table(grids, trace(blocks, options), name)


def _paper_layout(blocks: Sequence[Block], tables: Iterable[str]) -> str:
    """The natural layout among those of the paper, or one that comes next to it."""
    second = "few_shot" if any(block.shots for block in blocks) else "distribution_shift"
    return next(name for name in (natural_layout(blocks), second, *tables) if name in tables)


def _shared_parts(plan: Plan, published: PublishedTable) -> list[Plan]:
    """The plan with the paper's columns alone; a plan of its own per data set where a data set has several columns."""
    columns = [column for column in plan.columns if column.kind == "number" and published.metric(column)]
    for column in columns:
        _refuse_other_metric(column, published)
    grouped = itertools.groupby(columns, key=lambda column: column.dataset if len(column.path) > 1 else "")
    return [_narrowed(plan, tuple(group)) for _, group in grouped]


def _narrowed(plan: Plan, columns: tuple[Column, ...]) -> Plan:
    """The plan with some of its columns, and with the cells that they need."""
    needed = set(map(cell_key, columns))
    rows = tuple(
        replace(row, cells={block: cell for block, cell in row.cells.items() if block in needed}) for row in plan.rows
    )
    return replace(plan, columns=columns, rows=tuple(row for row in rows if row.cells))


def _compare(plan: Plan, published: PublishedTable, options: TableOptions) -> Grid:
    ours = fill(plan, options)
    rows = tuple(
        Row(row.label, row.method, tuple(_entries(row, planned, plan.columns, published, options)))
        for row, planned in zip(ours.rows, plan.rows, strict=True)
    )
    cells = [cell for row in plan.rows for cell in row.cells.values()]
    datasets = [name for name in dict.fromkeys(map(_outermost, plan.columns)) if name not in plan.title.split(", ")]
    table = "" if published.number is None else f"Table {published.number}, "
    grid = Grid(
        f"{', '.join([plan.title, *datasets])}: against {published.cited}",
        plan.stub,
        tuple(part for column in plan.columns for part in _parts(column)),
        rows,
        notes=(*ours.notes, *_differences(plan, published)),
        audit=(
            *audit_lines(cells, options),
            f"Paper: {published.source}, {table}{published.model}, {published.seeds} seeds. "
            f"What its brackets are: {published.bracket_source}.",
        ),
    )
    return captioned(grid, _caption(published, cells, options), options)


def _differences(plan: Plan, published: PublishedTable) -> list[str]:
    """What differs by intent between our numbers and the paper's, a note for each data set."""
    notes = [
        f"{_outermost(column)}: {what}"
        for row in plan.rows
        for column in plan.columns
        if published.printed(row.method, column) and (what := published.difference(row.method, column))
    ]
    return list(dict.fromkeys(notes))


def _outermost(column: Column) -> str:
    """The outermost header that names data: that of the data set, or its name in layouts of one data set each."""
    return column.dataset if column.path[0] in SIDE_LABELS.values() else column.path[0]


def _parts(column: Column) -> list[Column]:
    return [
        replace(column, path=(*column.path, "ours")),
        replace(column, path=(*column.path, "paper"), parts=()),
        replace(column, path=(*column.path, "diff."), kind="difference"),
        replace(column, path=(*column.path, "agree"), kind="text"),
    ]


def _entries(
    row: Row, planned: PlannedRow, columns: Sequence[Column], published: PublishedTable, options: TableOptions
) -> Iterable[Entry]:
    for column, entry in zip(columns, row.entries, strict=True):
        printed = published.printed(row.method, column)
        sample = planned.sample(column)
        yield replace(entry, mark="")
        yield Entry(text=printed or ABSENT)
        if printed is None or sample is None:
            is_other = sample is not None and column.model not in published.models
            yield from (Entry(text=ABSENT), Entry(text=OTHER_MODEL if is_other else ABSENT))
            continue
        theirs = parse(printed, published.seeds, published.bracket)
        values = list(sample.values.values())
        agreed = agreement(values, theirs, options.confidence, deterministic=sample.constant)
        yield Entry(agreed.difference, is_signed=True, decimals=options.decimals)
        differs = DIFFERS if published.difference(row.method, column) else ""
        yield Entry(text=VERDICTS[agreed.compatible] + differs)


def _refuse_other_metric(column: Column, published: PublishedTable) -> None:
    theirs = published.metric(column)
    if column.metric != theirs:
        raise InputError(
            f"--against: found {column.dataset} {column.name} measured by {column.metric}, expected the "
            f"paper's {theirs}; numbers of two metrics cannot be compared"
        )


def _caption(published: PublishedTable, cells: Sequence[CellResult], options: TableOptions) -> str:
    models = list(dict.fromkeys(cell.cell.model for cell in cells))
    read = {
        "interval": "the paper's interval read as Student's and widened by what rounding may have taken",
        "deviation": "the paper's deviation over the root of its seeds, widened by what rounding may have taken",
    }
    others = [model for model in models if model not in published.models]
    other = (
        f" '{OTHER_MODEL}': not compared, for the paper's model is {' or '.join(published.models)}, and ours is "
        f"{', '.join(others)}."
        if others
        else ""
    )
    return (
        f"Ours ({', '.join(models)}; {mean_and_interval(cells, options)}) beside "
        f"{published.cited} ({published.model}; {published.said}), in %. Diff.: ours minus the paper's with its "
        f"{100 * options.confidence:g}% Welch interval, {read[published.bracket]}. Agree: the two are compatible, for "
        "that interval holds 0 or, where neither has a spread, ours rounds to the paper's number; '-': not judged, for "
        f"one has no spread.{other} Ours was selected on {selected_on(cells)}."
    )
