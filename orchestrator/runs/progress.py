"""Progress on the terminal: a board of cells and running trials, or a line from time to time."""

from __future__ import annotations

import logging
import time
from collections import Counter

from rich.console import Console, RenderableType
from rich.live import Live

from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.protocol.selection import Selection
from flyp_sweep.orchestrator.runs.board import Board
from flyp_sweep.orchestrator.runs.under_way import UnderWay
from flyp_sweep.results.durations import duration, time_left
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.ledger.schema import TrialRecord
from flyp_sweep.results.running_rows import CellNames, in_short, settings
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.trainers.spec import REPEAT, SEARCH, TrialSpec

log = logging.getLogger(__name__)

LINE_EVERY_SECONDS = 10.0


class Progress:
    """A live table on a terminal, elsewhere a line from time to time; a `Listener` of the recorder."""

    def __init__(self, protocol: Protocol, console: Console, under_way: UnderWay) -> None:
        self.protocol = protocol
        self.console = console
        self.under_way = under_way
        self.names = CellNames(cell.plan.cell for cell in protocol.cells)
        self.began = time.monotonic()
        self.failed: Counter[Cell] = Counter()
        self._scores: dict[tuple[Cell, str], float] = {}
        """The best score of each cell by stage."""
        for cell in protocol.cells:
            for trial in cell.trials:
                if trial.trial_id in protocol.outcomes:
                    stage = trial.stage if isinstance(trial, TrialSpec) else SEARCH
                    self._score(cell.plan.cell, stage, protocol.outcomes[trial.trial_id].score)
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
        if self.console.is_interactive:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def started(self, trial: RunningTrial) -> None:
        self._tell_line()

    def progressed(self, trial: RunningTrial) -> None:
        self._tell_line()

    def finished(self, record: TrialRecord) -> None:
        cell = record.cell
        self.this_run += 1
        if record.status == "failed":
            self.failed[cell] += 1
            self._say(f"failed: {cell.key} seed {record.seed}: {record.reason}", "red")
        for note in record.notes:
            if (cell, note) not in self._noted:  # as its other trials may bring the same
                self._noted.add((cell, note))
                self._say(f"{cell.key} seed {record.seed}: {note}", "yellow")
        self._score(cell, record.stage, record.score)
        self._tell_line()

    def retried(self, spec: TrialSpec, reason: str, pause: float) -> None:
        self._say(f"again in {pause:g} s: {spec.cell.key} seed {spec.seed}: {reason}", "yellow")

    def selected(self, selection: Selection) -> None:
        if not self.console.is_interactive and selection.score is not None:
            chosen = settings(selection.winner, ", ")
            score = f"score {100 * selection.score:.1f}% on ID validation data"
            self.console.print(f"selected {selection.plan.cell.key}: {chosen} ({score})", soft_wrap=True)

    def _say(self, line: str, style: str) -> None:
        log.warning("%s", line)
        self.console.print(line, style=style, soft_wrap=True)

    @property
    def planned(self) -> int:
        """The trials of the whole sweep at most."""
        return sum(self.under_way.planned.values())

    @property
    def done(self) -> Counter[Cell]:
        """Cell -> its trials that have ended."""
        return self.under_way.done

    def line(self) -> str:
        """The whole sweep in a line."""
        done, planned = sum(self.done.values()), self.planned
        left = self.under_way.time_left()
        rest = "" if self.protocol.done else f", {time_left(left.seconds, at_least=left.at_least)}"
        elapsed = duration(time.monotonic() - self.began)
        return f"{done:,} of {counted(planned, 'trial')}, {elapsed} elapsed{rest}"

    def _score(self, cell: Cell, stage: str, score: float | None) -> None:
        if score is not None:
            self._scores[cell, stage] = max(score, self._scores.get((cell, stage), score))

    @property
    def best(self) -> dict[Cell, float]:
        """The best score of each cell so far: of its search, or of its repeats if nothing is searched."""
        repeats = {cell: score for (cell, stage), score in self._scores.items() if stage == REPEAT}
        return repeats | {cell: score for (cell, stage), score in self._scores.items() if stage == SEARCH}

    def _tell_line(self) -> None:
        """Where there is no board: the line, and the running trials in short."""
        if self.console.is_interactive or time.monotonic() - self._last_line < LINE_EVERY_SECONDS:
            return
        self._last_line = time.monotonic()
        running = in_short(self.under_way.running, self.names)
        self.console.print(f"{self.line()}{'; ' if running else ''}{running}", soft_wrap=True)

    def _board(self) -> RenderableType:
        return Board(self.protocol, self.under_way, self.names, self.best, self.failed, self.line())
