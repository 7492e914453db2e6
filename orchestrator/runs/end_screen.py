"""The end of a run on a screen of 80x24: warnings, one small table, then what took how long and where all of it is."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from flyp_sweep.orchestrator.runs.printing import wrapped
from flyp_sweep.orchestrator.tracking.credentials import has_credentials
from flyp_sweep.results.outputs import Outputs
from flyp_sweep.results.tables.formats.text import grid_lines
from flyp_sweep.results.tables.summary import Summary
from flyp_sweep.results.tables.table import Grid, Row
from flyp_sweep.search_spaces.complaints import counted

LINES = 24
BELOW = 7
"""Lines that follow the table: time, tables, figures, report, next step, one of MLflow or a store, and a prompt."""


@dataclass(frozen=True)
class EndScreen:
    """What a run has to show; `address` names it on a command line, its `log` holds all warnings.

    `mlflow` is the URI of the tracking store; None: the default one.
    """

    outputs: Outputs
    address: str
    log: Path
    mlflow: str | None = None

    def print(self, console: Console) -> None:
        """Print warnings and table: on a terminal as many lines as fit, elsewhere every warning."""
        width, plain = console.width, not console.is_terminal
        lines = (LINES if plain else max(LINES, console.height)) - BELOW
        warnings = list(self.warnings)
        at_least = 0 if plain else len(list(warning_lines(warnings, console, 0, self.log)))
        table = list(table_lines(self.outputs.summary, width, lines - at_least, self.address, plain=plain))
        for line in warning_lines(warnings, console, lines - len(table), self.log):
            console.print(line, style="yellow", soft_wrap=True)
        for text in table:
            text.no_wrap, text.overflow = True, "ignore"
            console.print(text)

    @property
    def warnings(self) -> Iterator[str]:
        """What to know before the numbers are believed, a line each: warnings, then the notes of the table."""
        yield from (f"warning: {line}" for line in self.outputs.warnings)
        yield from (f"note: {line}" for line in self.outputs.summary.notes)

    @property
    def paths(self) -> Iterator[str]:
        """A line for each of tables, figures and report: where it is."""
        report = self.outputs.paths[-1]
        yield f"tables: {report.parent / 'tables'} (printed by: flyp-sweep table {self.address})"
        if any(path.parent.name == "figures" for path in self.outputs.paths):
            yield f"figures: {report.parent / 'figures'}"
        yield f"report: {report}"

    @property
    def next_step(self) -> str:
        """What shows every trial of a finished run: `flyp-sweep ui`, a tracking server; else the report."""
        run, report, uri = self.log.parent, self.outputs.paths[-1], self.mlflow
        if uri is None:
            is_usual = run.resolve().parent == Path("runs").resolve()
            return "flyp-sweep ui" if is_usual else f"flyp-sweep ui {shlex.quote(str(run))}"
        is_server = uri.startswith(("http://", "https://")) and not has_credentials(uri)
        return f"open {uri if is_server else report}"


def warning_lines(warnings: Sequence[str], console: Console, room: int, log: Path) -> Iterator[str]:
    """The warnings that fit into `room` lines of a terminal, one at least, and how many `log` has besides."""
    told = 0
    for at, warning in enumerate(warnings):
        lines = wrapped(warning, console)
        is_last = at == len(warnings) - 1
        if console.is_terminal and at > 0 and told + len(lines) + (not is_last) > room:
            yield f"{counted(len(warnings) - at, 'more warning')}: {log}"
            return
        told += len(lines)
        yield from lines


def table_lines(summary: Summary, width: int, room: int, address: str, *, plain: bool) -> Iterator[Text]:
    """The grids of `summary` in `room` lines: rows that do not fit are counted, and the command for all is named."""
    legend = [Text(line, style="dim") for line in textwrap.wrap(summary.legend, width)]
    room -= len(legend)
    if sum(_height(grid, width, plain=plain) for grid in summary.grids) > room:
        room -= 1  # for the line that says how many are left out
    left = 0
    for grid in summary.grids:
        shown = _fitting(grid, width, 0 if left else room, plain=plain)
        left += len(grid.rows) - len(shown.rows)
        if shown.rows:
            yield Text(grid.title, style="bold cyan")
            yield from grid_lines(shown, width, plain=plain)
            room -= _height(shown, width, plain=plain)
    if left:
        yield Text(f"{counted(left, 'row')} left out; all of them: flyp-sweep table {address}")
    yield from legend


def _fitting(grid: Grid, width: int, room: int, *, plain: bool) -> Grid:
    """The grid with as many rows as fit into `room` lines, in their order: the best, then those with other marks."""
    whole = _height(grid, width, plain=plain)
    if whole <= room:
        return grid
    empty = _height(replace(grid, rows=()), width, plain=plain)
    most = max(0, (room - empty) * len(grid.rows) // max(1, whole - empty))
    rows = sorted(range(len(grid.rows)), key=lambda at: _rank(grid.rows[at]))
    return replace(grid, rows=tuple(grid.rows[at] for at in sorted(rows[:most])))


def _height(grid: Grid, width: int, *, plain: bool) -> int:
    """The lines of a grid with its title and the blank line that follows."""
    return 1 + len(list(grid_lines(grid, width, plain=plain)))


def _rank(row: Row) -> int:
    """0 for a row with the best number of a column, 1 for one with another mark, 2 for others."""
    marks = {entry.mark for entry in row.entries}
    return 0 if "best" in marks else 1 if marks - {""} else 2
