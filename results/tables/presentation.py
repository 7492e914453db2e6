"""What of a plan is shown, in which order and under which names, as the options say. No number is made here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.analysis.evidence import Measure
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.naming import printed_method
from flyp_sweep.results.tables.grid import Plan, PlannedRow
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.published import published_names
from flyp_sweep.results.tables.table import Column
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.fields import repeated

_ALIASES = {"id_test": ("ID",), "mean_ood": ("OOD", "mean OOD"), "ood": ("OOD", "mean OOD")}
"""Role of a headline column -> what it is called in every layout."""
_FOLLOWS = ("difference", "text")
"""Kinds of columns that belong to the number to their left, by which they are chosen."""
_HEADERS = (
    *("Methods", "Variant", "k (shots)", "ID", "OOD", "mean OOD", "n", "Mean", "IQM", "All columns", "Base", "H"),
    *("without ensembling", "with ensembling", "Without Ensembling", "With Ensembling"),
)
"""Headers of all layouts: a label of one that is not in a table may be for another layout."""
LABELS = "--label (in a space: tables.labels)"
"""What a message calls the labels."""


def labelled(results: Iterable[CellResult], labels: Mapping[str, str]) -> list[CellResult]:
    """The results with the labels of their methods."""
    return [replace(one, label=printed_method(one.cell.method, one.label, labels)) for one in results]


def presented(plans: Sequence[Plan], blocks: Sequence[Block], options: TableOptions) -> list[Plan]:
    """The plans with the rows and columns that are asked for, in their order, under their labels.

    Columns that are left out still count in aggregates over columns. Plans of which nothing is left are left out.
    Raises InputError for names that nothing has, once everything has been measured, and for two things of one name.
    """
    _refuse_unknown(plans, blocks, options)
    found = shaped(plans, options)
    if options.columns and not any(plan.columns for plan in found):
        if all(block.measures for block in blocks):
            raise InputError(
                f"{_named('columns')}: found none of {', '.join(options.columns)} in this layout, expected one or more "
                f"of {', '.join(dict.fromkeys(column.name for plan in plans for column in plan.columns))}"
            )
        found = shaped(plans, replace(options, columns=()))
    return found


def shaped(plans: Iterable[Plan], options: TableOptions) -> list[Plan]:
    """`presented` for names that have been checked: a name that a plan lacks changes nothing there."""
    rows = [_with_rows(plan, options) for plan in plans]
    shown = [_with_columns(plan, options) for plan in rows]
    return [_relabelled(plan, options.labels) for plan in shown if plan.columns and plan.rows]


def _named(key: str) -> str:
    """How a message names an option, which the section of a search space may have set too."""
    return f"--{key} (in a space: tables.{key})"


# Rows


def _with_rows(plan: Plan, options: TableOptions) -> Plan:
    rows = chosen_rows(plan.rows, options.methods)
    if options.sort:
        rows = _sorted(rows, plan.columns, options.sort)
    shown = set(map(id, rows))
    return replace(plan, rows=rows, left_out=tuple(row.label for row in plan.rows if id(row) not in shown))


def chosen_rows(rows: tuple[PlannedRow, ...], names: Sequence[str]) -> tuple[PlannedRow, ...]:
    """The rows of the methods that `names` call, in that order; all rows for no name."""
    if not names:
        return rows
    return tuple({id(row): row for name in names for row in rows if _is_called(row, name)}.values())


def _is_called(row: PlannedRow, name: str) -> bool:
    return name in (row.method, row.label)


def _sorted(rows: Sequence[PlannedRow], columns: Sequence[Column], name: str) -> tuple[PlannedRow, ...]:
    """The best number of the first column of that name first; rows without a number last, otherwise as they were."""
    column = next((one for one in columns if one.kind == "number" and name in names_of(one)), None)
    if column is None:
        return tuple(rows)
    sign = 1 if metric_of(column.metric).lower_is_better else -1

    def place(row: PlannedRow) -> tuple[bool, float]:
        sample = row.sample(column)
        return (sample is None, 0.0 if sample is None else sign * sample.mean)

    return tuple(sorted(rows, key=place))


# Columns


def names_of(column: Column) -> set[str]:
    """What a column may be called: its headers, its path as in CSV, its data set and split, and e.g. `mean OOD`."""
    splits = {measure.split for measure in column.parts} if len(column.parts) == 1 else set()
    aliases = _ALIASES.get(column.role, ()) if column.headline else ()
    return {*column.path, column.full_name, column.dataset, *splits, *aliases} - {""}


def _with_columns(plan: Plan, options: TableOptions) -> Plan:
    if not options.columns:
        return plan
    chosen: dict[Column, int] = {}
    place: int | None = None
    for column in plan.columns:
        if column.kind not in _FOLLOWS:
            place = next((at for at, name in enumerate(options.columns) if name in names_of(column)), None)
        if place is not None:
            chosen[column] = place
    if all(column.kind == "count" for column in chosen):
        return replace(plan, columns=())
    return replace(plan, columns=_together(chosen), behind=plan.columns)


def _together(places: Mapping[Column, int]) -> tuple[Column, ...]:
    """Columns by their places, those under one header together: a header stands where its first column would."""
    first: dict[tuple[str, ...], tuple[int, int]] = {}
    for at, (column, place) in enumerate(places.items()):
        for path in _paths(column):
            first[path] = min(first.get(path, (place, at)), (place, at))
    return tuple(sorted(places, key=lambda column: [first[path] for path in _paths(column)]))


def _paths(column: Column) -> Iterator[tuple[str, ...]]:
    """The paths of the headers of a column, from the outermost to its own."""
    return accumulate((header,) for header in column.path)


# Labels


def _relabelled(plan: Plan, labels: Mapping[str, str]) -> Plan:
    if not labels:
        return plan
    return replace(
        plan,
        title=printed_title(plan.title, labels),
        stub=labels.get(plan.stub, plan.stub),
        columns=tuple(_renamed(column, labels) for column in plan.columns),
    )


def printed_title(title: str, labels: Mapping[str, str]) -> str:
    """A title by its own label, or with the labels of the data set and the model that it names."""
    return labels.get(title) or ", ".join(labels.get(part, part) for part in title.split(", "))


def _renamed(column: Column, labels: Mapping[str, str]) -> Column:
    return replace(column, path=tuple(header_label(header, column, labels) for header in column.path))


def header_label(header: str, column: Column, labels: Mapping[str, str]) -> str:
    """A header of a column as it is printed: by its own label, or by that of the data set or split that it names."""
    if header in labels:
        return labels[header]
    if column.dataset in labels and header in published_names(column.dataset):
        return labels[column.dataset]
    for measure in (measure for one in column.sources for measure in one.parts):
        if measure.split in labels and header.endswith(measure.heading):
            return f"{header.removesuffix(measure.heading)}{_heading(measure, labels[measure.split])}"
    return header


def _heading(measure: Measure, label: str) -> str:
    return label if measure.role == "id_test" else Measure(label, *measure[1:]).heading


# Names that nothing has


def _refuse_unknown(plans: Sequence[Plan], blocks: Sequence[Block], options: TableOptions) -> None:
    """Raises InputError for unknown names; of columns and splits only once every block has been measured."""
    rows = [row for plan in plans for row in plan.rows]
    methods, labels = [row.method for row in rows], [row.label for row in rows]
    _refuse(_named("methods"), options.methods, methods, labels)
    _refuse(_named("control"), _one(options.control), methods, labels)
    if options.control and options.methods and not _is_shown(options, rows):
        raise InputError(
            f"{_named('control')}: found {options.control!r}, which --methods leaves out; expected one of "
            f"{', '.join(options.methods)}"
        )
    if not all(block.measures for block in blocks):
        return
    columns = [column for plan in plans for column in plan.columns if column.kind not in _FOLLOWS]
    data = [name for block in blocks for name in (block.dataset, *(measure.split for measure in block.measures))]
    own, others = [column.name for column in columns], [name for column in columns for name in sorted(names_of(column))]
    _refuse(_named("columns"), options.columns, own, [*others, *data])
    _refuse(_named("sort"), _one(options.sort), own, [*others, *data])
    things = [*data, *(name for block in blocks for name in (block.model, *(one.run for one in block.results)))]
    texts = [text for plan in plans for text in (plan.title, plan.stub, *plan.title.split(", "))]
    headers = [header for plan in plans for column in plan.columns for header in column.path]
    headers += [name for block in blocks for name in published_names(block.dataset)]
    _refuse(LABELS, options.labels, [*methods, *things], [*labels, *_HEADERS, *headers, *texts])
    _refuse_alike(plans, options.labels)


def _one(name: str | None) -> list[str]:
    return [] if name is None else [name]


def _is_shown(options: TableOptions, rows: Sequence[PlannedRow]) -> bool:
    control = [row for row in rows if _is_called(row, str(options.control))]
    return any(_is_called(row, name) for row in control for name in options.methods)


def _refuse(where: str, found: Iterable[str], told: Iterable[str], others: Iterable[str]) -> None:
    """Raises InputError for a name that is not among those that are `told`, or `others`."""
    names = list(dict.fromkeys(told))
    known = [*names, *others]
    for name in found:
        if name not in known:
            raise InputError(f"{where}: found {name!r}{nearest(name, known)}, expected one of {', '.join(names)}")


def _refuse_alike(plans: Sequence[Plan], labels: Mapping[str, str]) -> None:
    """Raises InputError where labels give two rows, or two columns beside one another, one name."""
    for plan in plans if labels else ():
        columns = (_renamed(column, labels).full_name for column in plan.columns)
        for name in [*repeated(row.label for row in plan.rows), *repeated(columns)]:
            raise InputError(f"{LABELS}: found {name!r} as the name of two, expected a different one for each")
