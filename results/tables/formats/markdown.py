"""The table in GitHub-flavoured Markdown."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from flyp_sweep.results.tables.formats import Format
from flyp_sweep.results.tables.panels import panels
from flyp_sweep.results.tables.table import Entry, Grid, Table

_COLUMNS_AT_MOST = 10
_COLUMNS_OF_SEVERAL_HEADERS = 6
_MARKS = {"best": "**{}**", "differs": "**{}**", "better": "**{}**", "level": "<ins>{}</ins>", "": "{}"}


def markdown(table: Table) -> str:
    """Per grid a heading, its panels (a wide grid has several), its notes; then caption and audit, once where equal."""
    parts: list[str] = []
    for (caption, audit), grids in itertools.groupby(table.grids, key=lambda grid: (grid.caption, grid.audit)):
        parts += [part for grid in grids for part in _grid(grid)]
        parts += [_escape(caption), _list(audit)]
    parts += [_list(table.trace)] if table.grids else ["no cells yet"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _grid(grid: Grid) -> list[str]:
    parts = [f"### {_escape(grid.title)}"]
    for panel in panels(grid, lambda columns: _width(grid, columns), _COLUMNS_AT_MOST):
        shared = _shared_headers(grid, panel)
        if shared:
            parts.append(f"_{_escape(', '.join(shared))}_")
        parts.append(_panel(grid, panel, len(shared)))
    return [*parts, "\n".join(rf"- \* {_escape(note)}" for note in grid.notes)]


def _width(grid: Grid, columns: Sequence[int]) -> float:
    """How many columns; under several outer headers they count for more, since each must then name its own."""
    numbers = [grid.columns[index] for index in columns if not grid.columns[index].stands_apart]
    several = len({column.path[0] for column in numbers if len(column.path) > 1}) > 1
    return len(numbers) * (_COLUMNS_AT_MOST / _COLUMNS_OF_SEVERAL_HEADERS if several else 1)


def _shared_headers(grid: Grid, panel: Sequence[int]) -> tuple[str, ...]:
    """The outer headers that all columns of a panel stand under."""
    paths = [grid.columns[index].path[:-1] for index in panel if not grid.columns[index].stands_apart]
    shared = itertools.takewhile(lambda labels: len(set(labels)) == 1, zip(*paths, strict=False))
    return tuple(labels[0] for labels in shared)


def _panel(grid: Grid, panel: Sequence[int], shared: int) -> str:
    names = [grid.columns[index].path[0 if grid.columns[index].stands_apart else shared :] for index in panel]
    header = [grid.stub, *(", ".join(filter(None, name)) for name in names)]
    rules = [":--", *("--:" for _ in panel)]
    rows = [[_escape(row.label), *(_entry(row.entries[index]) for index in panel)] for row in grid.rows]
    return "\n".join(map(_line, [[_escape(label) for label in header], rules, *rows]))


def _entry(entry: Entry) -> str:
    return _MARKS[entry.mark].format(_escape(entry.printed)) + (r" \*" if entry.is_short else "")


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_escape(line)}" for line in lines)


def _line(entries: Iterable[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]$])", r"\\\1", text)


FORMAT = Format(markdown, "md")
