"""What `run` shows on a terminal: the cells, the trials that run, and the whole sweep in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.text import Text

from flyp_sweep.orchestrator.protocol.cells import CellProtocol
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.under_way import UnderWay
from flyp_sweep.results.running_rows import WIDE, CellNames, open_first, rows, running_part, shares, short, with_rest
from flyp_sweep.search_spaces.cell import Cell

LONG, SHORT = 30, 12
"""Characters of a bar, in a wide terminal and in another."""
OTHER_LINES = 4
"""Lines beside the rows: two headings, the line of the whole sweep, and the one of the cursor."""


class Board:
    """One look at a sweep under way, as large as the terminal lets it be."""

    def __init__(
        self,
        protocol: Protocol,
        under_way: UnderWay,
        names: CellNames,
        best: Mapping[Cell, float],
        failed: Counter[Cell],
        line: str,
    ) -> None:
        self.protocol = protocol
        self.under_way = under_way
        self.names = names
        self.best = best
        self.failed = failed
        self.line = line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trials = self.under_way.running
        cells, running = shares(len(self.protocol.cells), len(trials), console.height - OTHER_LINES)
        is_wide = options.max_width >= WIDE
        parts: list[RenderableType] = [short(self.names.common), self._cells(cells, LONG if is_wide else SHORT)]
        parts += running_part(trials, self.names, running, wide=is_wide)
        yield Group(*parts, Text(self.line, style="bold"))

    def _cells(self, most: int, bar: int) -> RenderableType:
        """Cells that are not over come first where there is no room for all; rows keep the order of the sweep."""
        order = self.protocol.cells
        shown = open_first(order, lambda cell: cell.over, most)
        table = rows(6, right=(3,))
        for cell in shown:
            table.add_row(*self._row(cell, bar))
        over = sum(cell.over for cell in order) - sum(cell.over for cell in shown)
        return with_rest(table, len(order) - len(shown), f"more, {over:,} of them over")

    def _row(self, cell: CellProtocol, width: int) -> tuple[RenderableType, ...]:
        key = cell.plan.cell
        planned, done = self.under_way.planned[key], self.under_way.done[key]
        stage = "repeat" if cell.selection else "search"
        if cell.over:
            stage = "done" if cell.selection else "failed"
        best = f"best {100 * self.best[key]:.1f}%" if key in self.best else ""
        failed = f"{self.failed[key]} failed" if self.failed[key] else ""
        bar = ProgressBar(total=planned, completed=planned if cell.over else done, width=width)
        return short(self.names.of(key)), stage, bar, f"{done}/{planned}", best, Text(failed, style="red")
