"""The tables of the report: grids in panels with their headers spanned, and every number led to its trials."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flyp_sweep.results.tables.panels import header_levels, panels
from flyp_sweep.results.tables.table import ABSENT, Entry, Grid, Table

_WIDTH = 1060.0
"""How wide a panel may be, in CSS pixels: a page on a screen is 1120 wide."""
_CHARACTER, _PADDING = 7.4, 20.0  # CSS pixels


@dataclass(frozen=True)
class HeadView:
    """A header over `count` columns; `starts`: the first of them is the first of a group."""

    label: str
    count: int
    starts: bool


@dataclass(frozen=True)
class EntryView:
    """An entry as it is printed; `anchor` is where its trials stand, empty for what is of no single cell."""

    text: str
    mark: str
    is_short: bool
    anchor: str
    starts: bool


@dataclass(frozen=True)
class PanelView:
    """Some columns of a table, its header lines outermost first."""

    headers: list[list[HeadView]]
    rows: list[tuple[str, list[EntryView]]]


@dataclass(frozen=True)
class GridView:
    """One table; a wide one has several panels, to be shown one above the other.

    `differences` are panels of the differences of its numbers to the best of each column, none where nothing compares.
    """

    title: str
    stub: str
    panels: list[PanelView]
    notes: tuple[str, ...]
    differences: list[PanelView]


@dataclass(frozen=True)
class Group:
    """Tables that share their caption and audit."""

    grids: list[GridView]
    caption: str
    audit: tuple[str, ...]


def grid_groups(table: Table, anchors: Mapping[str, str]) -> list[Group]:
    """The grids of a table; `anchors` tells where on the page a trial (by id) stands with the others of its cell."""
    groups = itertools.groupby(table.grids, key=lambda grid: (grid.caption, grid.audit))
    return [
        Group([_grid(grid, anchors) for grid in grids], caption.replace("; underlined: ", "; on a grey field: "), audit)
        for (caption, audit), grids in groups
    ]


def _grid(grid: Grid, anchors: Mapping[str, str]) -> GridView:
    differences = to_the_best(grid)
    return GridView(
        grid.title, grid.stub, _panels(grid, anchors), grid.notes, _panels(differences, {}) if differences else []
    )


def to_the_best(grid: Grid) -> Grid | None:
    """The numbers of a grid as differences to the best of their columns, or the control; None where none compare."""
    held = [at for at in range(len(grid.columns)) if any(row.entries[at].to_best for row in grid.rows)]
    reference = next((one.to_best.reference for row in grid.rows for one in row.entries if one.to_best), "best")
    rows = [replace(row, entries=tuple(_difference(row.entries[at], reference) for at in held)) for row in grid.rows]
    return replace(grid, columns=tuple(grid.columns[at] for at in held), rows=tuple(rows)) if held else None


def _difference(entry: Entry, reference: str) -> Entry:
    if entry.to_best is None:
        return Entry(text=reference if entry.interval else ABSENT)
    return Entry(entry.to_best.difference, metric=entry.metric, is_signed=True, decimals=entry.decimals)


def _panels(grid: Grid, anchors: Mapping[str, str]) -> list[PanelView]:
    cut = panels(grid, lambda columns: _width(grid, columns), _WIDTH)
    return [_panel(grid, panel, anchors) for panel in cut]


def _width(grid: Grid, columns: Sequence[int]) -> float:
    """About how wide a panel is, in CSS pixels."""
    stub = max(len(label) for label in [grid.stub, *(row.label for row in grid.rows)])
    own = [
        max(len(text) for text in [grid.columns[index].name, *(row.entries[index].printed for row in grid.rows)])
        for index in columns
    ]
    return sum(_CHARACTER * characters + _PADDING for characters in [stub, *own])


def _panel(grid: Grid, panel: Sequence[int], anchors: Mapping[str, str]) -> PanelView:
    levels = header_levels([grid.columns[index] for index in panel])
    first = {at for spans in levels[:-1] for at in _starts([span.count for span in spans])}
    headers = [
        [
            HeadView(span.label, span.count, at in first)
            for span, at in zip(spans, _starts([span.count for span in spans]), strict=True)
        ]
        for spans in levels
    ]
    rows = [
        (row.label, [_entry(row.entries[index], anchors, at in first) for at, index in enumerate(panel)])
        for row in grid.rows
    ]
    return PanelView(headers, rows)


def _starts(counts: Sequence[int]) -> list[int]:
    """Where each of several neighbours of `counts` columns begins."""
    return [sum(counts[:at]) for at in range(len(counts))]


def _entry(entry: Entry, anchors: Mapping[str, str], starts: bool) -> EntryView:
    anchor = next((anchors[name] for name in entry.trials if name in anchors), "")
    return EntryView(entry.printed, entry.mark, entry.is_short, anchor, starts)
