"""The tables of the report: grids with their headers spanned, and every number led to the trials behind it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from results.formats.panels import Span, header_levels
from results.tables import Entry, Grid, Table


@dataclass(frozen=True)
class EntryView:
    """An entry as it is printed; `anchor` is where its trials stand, empty for what is of no single cell."""

    text: str
    mark: str
    is_short: bool
    anchor: str


@dataclass(frozen=True)
class GridView:
    """One table, its header lines outermost first."""

    title: str
    stub: str
    headers: list[list[Span]]
    rows: list[tuple[str, list[EntryView]]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Tables that share their caption and audit."""

    grids: list[GridView]
    caption: str
    audit: tuple[str, ...]


def grid_groups(table: Table, anchors: Mapping[str, str]) -> list[Group]:
    """The grids of a table; `anchors` tells where on the page a trial (by id) stands with the others of its cell."""
    groups = itertools.groupby(table.grids, key=lambda grid: (grid.caption, grid.audit))
    return [Group([_grid(grid, anchors) for grid in grids], caption, audit) for (caption, audit), grids in groups]


def _grid(grid: Grid, anchors: Mapping[str, str]) -> GridView:
    rows = [(row.label, [_entry(entry, anchors) for entry in row.entries]) for row in grid.rows]
    return GridView(grid.title, grid.stub, header_levels(grid.columns), rows, grid.notes)


def _entry(entry: Entry, anchors: Mapping[str, str]) -> EntryView:
    found = next((anchors[name] for name in entry.trials if name in anchors), "")
    return EntryView(entry.printed, entry.mark, entry.is_short, found)
