"""Cutting a grid that is too wide into panels, as few as there can be, at the boundaries of its headers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flyp_sweep.results.tables.table import Column, Grid

_SHARES = [tenths / 20 for tenths in range(10, 21)]
"""Parts of the width that are tried from the narrowest, for even panels."""


@dataclass(frozen=True)
class Span:
    """A header over `count` neighbouring columns."""

    label: str
    count: int


def panels(
    grid: Grid, width: Callable[[Sequence[int]], float], limit: float, columns: Sequence[int] | None = None
) -> list[tuple[int, ...]]:
    """The columns of each panel, as indices into `grid.columns`: of all of them, or of some `columns`.

    `width` tells how wide a panel of some columns is; no panel is wider than `limit`, unless one column alone is.
    Columns under one header stay together where they can, and panels are as even as they can be. Columns that stand
    apart (counts) end every panel.
    """
    held = range(len(grid.columns)) if columns is None else columns
    apart = tuple(index for index in held if grid.columns[index].stands_apart)
    indices = [index for index in held if index not in apart]

    def cut(share: float) -> list[tuple[int, ...]]:
        return _packed(grid.columns, indices, 0, lambda part: width([*part, *apart]) <= share * limit)

    fewest = len(cut(1.0))
    even = next(panel_columns for share in _SHARES if len(panel_columns := cut(share)) == fewest)
    return [(*part, *apart) for part in even] or [apart]


def _packed(
    columns: Sequence[Column], indices: Sequence[int], level: int, fits: Callable[[Sequence[int]], bool]
) -> list[tuple[int, ...]]:
    """The groups of the headers at `level`, as many together as fit; one too wide is cut at the next headers, alone."""
    panels: list[tuple[int, ...]] = []
    open_panel = False
    for _, group in itertools.groupby(indices, key=lambda index: columns[index].path[: level + 1]):
        part = tuple(group)
        if not fits(part) and len(part) > 1:
            panels += _packed(columns, part, level + 1, fits)
            open_panel = False
        elif open_panel and fits([*panels[-1], *part]):
            panels[-1] += part
        else:
            panels.append(part)
            open_panel = True
    return panels


def header_levels(columns: Sequence[Column]) -> list[list[Span]]:
    """The header lines of columns, outermost first: spans of equal headers. The last line has a span per column.

    Columns with fewer headers than others have them at the bottom, under blanks.
    """
    depth = max((len(column.path) for column in columns), default=1)
    paths = [("",) * (depth - len(column.path)) + column.path for column in columns]
    lines = []
    for level in range(depth - 1):
        groups = itertools.groupby(paths, key=lambda path: path[: level + 1])
        lines.append([Span(path[-1], len(list(group))) for path, group in groups])
    return [*lines, [Span(path[-1], 1) for path in paths]]
