"""Our numbers beside the paper's: both intervals, the difference, and whether the two are compatible."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import Evidence
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.statistics.agreement import agreement
from flyp_sweep.results.tables.captions import mean_and_interval, selected_on
from flyp_sweep.results.tables.grid import Plan, PlannedRow, fill
from flyp_sweep.results.tables.layouts import AUTO, layout_of
from flyp_sweep.results.tables.make import comparable_blocks, natural_layout, trace
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.provenance import audit_lines
from flyp_sweep.results.tables.published import PublishedTable, key, parse, published_table, published_tables
from flyp_sweep.results.tables.table import ABSENT, Column, Entry, Grid, Row, Table
from flyp_sweep.search_spaces.errors import InputError

VERDICTS = {True: "yes", False: "no", None: ABSENT}
OTHER_MODEL = "other model"
"""The verdict where ours is not the paper's model: nothing is compared."""


def against_published(evidence: Iterable[Evidence], layout: str = AUTO, options: TableOptions | None = None) -> Table:
    """The table of runs in a layout that the paper has, with the paper's numbers beside ours.

    Only columns that the paper's table has are shown. Numbers of another model than the paper's are not compared, and
    their rows say so. Raises InputError when the paper has none of the columns, for a layout that it lacks, when our
    metric in a column is not the paper's, and as `make_table` does.
    """
    options = replace(options or TableOptions(), aggregate=False)
    blocks = comparable_blocks(list(evidence))
    name = _paper_layout(blocks) if layout == AUTO else layout
    published = published_table(name)
    plans = [part for plan in layout_of(name).plans(blocks, options) for part in _shared_parts(plan, published)]
    if not plans:
        datasets = ", ".join(dict.fromkeys(block.dataset for block in blocks)) or "no cell"
        known = ", ".join(dict.fromkeys(column.dataset for column in published.columns))
        raise InputError(
            f"--against published: found {datasets}, expected numbers that Table {published.number} of the paper has: "
            f"{known}; choose another --layout"
        )
    grids = tuple(_compare(plan, published, options) for plan in plans)
    return Table(grids, trace(blocks, options), name)


def _paper_layout(blocks: Sequence[Block]) -> str:
    """The natural layout among those of the paper."""
    natural = natural_layout(blocks)
    if natural in published_tables():
        return natural
    return "few_shot" if any(block.shots for block in blocks) else "distribution_shift"


def _shared_parts(plan: Plan, published: PublishedTable) -> list[Plan]:
    """The plan with the paper's columns alone; a plan of its own per data set where a data set has several columns."""
    known = {key(column) for column in published.columns}
    columns = [column for column in plan.columns if key(column) in known]
    for column in columns:
        _refuse_other_metric(column, published)
    grouped = itertools.groupby(columns, key=lambda column: column.dataset if len(column.path) > 1 else "")
    return [_narrowed(plan, tuple(group)) for _, group in grouped]


def _narrowed(plan: Plan, columns: tuple[Column, ...]) -> Plan:
    """The plan with some of its columns, and with the cells that they need."""
    needed = {(column.dataset, column.model, column.shots) for column in columns}
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
    datasets = dict.fromkeys(column.path[0] for column in plan.columns)
    return Grid(
        f"{plan.title}, {', '.join(datasets)}: against Table {published.number} of {published.source}",
        plan.stub,
        tuple(part for column in plan.columns for part in _parts(column)),
        rows,
        _caption(published, cells, options),
        ours.notes,
        (
            *audit_lines(cells, options),
            f"Paper: {published.source}, Table {published.number}, {published.model}, {published.seeds} seeds. "
            f"What its brackets are: {published.bracket_source}.",
        ),
    )


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
        yield Entry(agreed.difference, is_signed=True)
        yield Entry(text=VERDICTS[agreed.compatible])


def _refuse_other_metric(column: Column, published: PublishedTable) -> None:
    theirs = next(own.metric for own in published.columns if key(own) == key(column))
    if column.metric != theirs:
        raise InputError(
            f"--against published: found {column.dataset} {column.name} measured by {column.metric}, expected the "
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
        f"Ours ({', '.join(models)}; {mean_and_interval(cells, options)}) beside Table {published.number} of "
        f"{published.source} ({published.model}; {published.said}), in %. Diff.: ours minus the paper's with its "
        f"{100 * options.confidence:g}% Welch interval, {read[published.bracket]}. Agree: the two are compatible, for "
        "that interval holds 0 or, where neither has a spread, ours rounds to the paper's number; '-': not judged, for "
        f"one has no spread.{other} Ours was selected on {selected_on(cells)}."
    )
