"""The comparison table for a terminal."""

from __future__ import annotations

import io

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from results.formats.values import entries, plus_minus
from results.tables import SIDE_LABELS, SIDES, Block, Side, Table

_WIDTH = 100
_NO_LIMIT = 1000


def text(table: Table, width: int = _WIDTH) -> str:
    """Plain text of `width` columns, or of more where the numbers need them."""
    body = renderable(table)
    needed = Console(width=_NO_LIMIT, file=io.StringIO()).measure(_grids(table)).maximum
    console = Console(width=max(width, needed), file=io.StringIO(), force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(body)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def renderable(table: Table) -> RenderableType:
    """What a `rich.console.Console` prints: per block two sections, without and with ensembling, then the caption."""
    parts: list[RenderableType] = []
    for block in table.blocks:
        parts.append(Text(block.title, style="bold cyan"))
        parts += [_grid(block, side) for side in SIDES]
        parts += [Text(f"* {note}", style="yellow") for note in block.notes]
        parts += [Text()] if block.notes else []
    return Group(*parts, Text(table.caption, style="dim"))


def _grids(table: Table) -> Group:
    return Group(*(_grid(block, side) for block in table.blocks for side in SIDES))


def _grid(block: Block, side: Side) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), title_justify="left", title_style="italic")
    grid.title = SIDE_LABELS[side]
    grid.add_column("method", no_wrap=True)
    for column in block.columns:
        grid.add_column(escape(column.name), justify="right", overflow="fold")
    grid.add_column("n", justify="right", no_wrap=True)
    for row in block.rows:
        grid.add_row(
            escape(row.label),
            *entries(block, row, side, plus_minus, "[bold]{}[/bold]".format),
            row.n_label + (" *" if row.notes else "  "),
        )
    return grid
