"""Progress on the terminal: cells, trials done of planned, the best score per cell, time left."""

from __future__ import annotations

import logging
import time
from collections import Counter

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flyp_sweep.orchestrator.protocol.algorithms import planned_trials
from flyp_sweep.orchestrator.protocol.cells import CellProtocol
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.protocol.selection import Selection
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.ledger.schema import TrialRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.trainers.spec import TrialSpec

log = logging.getLogger(__name__)

LINE_EVERY_SECONDS = 10.0
MOST_CELLS = 20

ENOUGH_TO_TELL = 5
"""Trials after which the time left is told: the first ones pay for imports."""


class Progress:
    """A live table on a terminal, elsewhere a line from time to time; a `Listener` of the recorder."""

    def __init__(self, protocol: Protocol, console: Console) -> None:
        self.protocol = protocol
        self.console = console
        self.began = time.monotonic()
        self.done = Counter(
            cell.plan.cell for cell in protocol.cells for trial in cell.trials if trial.trial_id in protocol.outcomes
        )
        self.failed: Counter[Cell] = Counter()
        self.best: dict[Cell, float] = {}
        self._noted: set[tuple[Cell, str]] = set()
        self.this_run = 0
        self._last_line = self.began
        # What libraries print goes to the log, not into the table.
        self._live = Live(
            get_renderable=self._board,
            console=console,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def started(self, trial: RunningTrial) -> None:
        pass

    def progressed(self, trial: RunningTrial) -> None:
        pass

    def finished(self, record: TrialRecord) -> None:
        cell = record.cell
        self.done[cell] += 1
        self.this_run += 1
        if record.status == "failed":
            self.failed[cell] += 1
            self._say(f"failed: {cell.key} seed {record.seed}: {record.reason}", "red")
        for note in record.notes:
            if (cell, note) not in self._noted:  # as its other trials may bring the same
                self._noted.add((cell, note))
                self._say(f"{cell.key} seed {record.seed}: {note}", "yellow")
        if record.score is not None:
            self.best[cell] = max(record.score, self.best.get(cell, 0.0))
        if not self.console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self.console.print(self.line())

    def retried(self, spec: TrialSpec, reason: str, pause: float) -> None:
        self._say(f"again in {pause:g} s: {spec.cell.key} seed {spec.seed}: {reason}", "yellow")

    def selected(self, selection: Selection) -> None:
        if not self.console.is_terminal and selection.score is not None:
            chosen = ", ".join(f"{name}={_short(value)}" for name, value in selection.winner.items())
            line = f"selected {selection.plan.cell.key}: {chosen} (score {100 * selection.score:.1f})"
            self.console.print(line)

    def _say(self, line: str, style: str) -> None:
        log.warning("%s", line)
        self.console.print(line, style=style, soft_wrap=True)

    @property
    def planned(self) -> int:
        return sum(planned_trials(cell.plan) for cell in self.protocol.cells)

    def line(self) -> str:
        """The whole sweep in a line."""
        done, planned = sum(self.done.values()), self.planned
        elapsed = time.monotonic() - self.began
        left = elapsed / self.this_run * (planned - done) if self.this_run >= ENOUGH_TO_TELL else None
        rest = f", about {duration(left)} left" if left is not None and done < planned else ""
        return f"{done:,} of {counted(planned, 'trial')}, {duration(elapsed)} elapsed{rest}"

    def _board(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        cells = [cell for cell in self.protocol.cells if not cell.over] + [c for c in self.protocol.cells if c.over]
        for cell in sorted(cells[:MOST_CELLS], key=self.protocol.cells.index):
            grid.add_row(*self._row(cell))
        return Group(grid, Text(self.line(), style="bold"))

    def _row(self, cell: CellProtocol) -> tuple[RenderableType, ...]:
        key, planned = cell.plan.cell, planned_trials(cell.plan)
        stage = "repeat" if cell.selection else "search"
        if cell.over:
            stage = "done" if cell.selection else "failed"
        best = f"best {100 * self.best[key]:.1f}" if key in self.best else ""
        failed = f"{self.failed[key]} failed" if self.failed[key] else ""
        bar = ProgressBar(total=planned, completed=self.done[key], width=20)
        return Text(key.key), stage, bar, f"{self.done[key]}/{planned}", best, Text(failed, style="red")


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
