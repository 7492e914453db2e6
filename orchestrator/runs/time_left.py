"""How long a sweep will still take, from the trials that have ended and the epochs of those that run.

A trial of a cell is taken to last as long as the mean of the cell's finished trials. Before the first has ended: the
mean seconds of an epoch of this cell, else of cells of the same data set, model and shots, else of the same model, else
of all, times the epochs that its trials have at most. Trained methods, methods without epochs and ensembles are kept
apart. The sum over all trials, less what the running ones have done, is divided by the trials that run at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.running_rows import left_now
from flyp_sweep.search_spaces.cell import Cell

Key = tuple[object, ...]


@dataclass
class Pace:
    """Sums over trials: how many have ended, their seconds, and the epochs that took `epoch_seconds`."""

    trials: int = 0
    seconds: float = 0.0
    epochs: int = 0
    epoch_seconds: float = 0.0


@dataclass(frozen=True)
class SecondsLeft:
    """How long a sweep will still take; None before the first epoch of a trained method has ended.

    `at_least`: nothing is known yet of some cells without epochs or of ensembles, and they are left out.
    """

    seconds: float | None
    at_least: bool = False


class TimeLeft:
    """Learns from every trial that ends."""

    def __init__(self, plans: Mapping[Cell, CellPlan]) -> None:
        self.plans = plans
        self._paces: defaultdict[Key, Pace] = defaultdict(Pace)

    def learn(self, cell: Cell, seconds: float, epochs: int | None = None) -> None:
        """A trial has ended after `seconds`; `epochs` None: it is not known how many it had."""
        own = self._paces[(cell,)]
        own.trials += 1
        own.seconds += seconds
        if epochs:
            self._add(self._paces, cell, epochs if self._has_epochs(cell) else 1, seconds)

    def estimate(self, waiting: Mapping[Cell, int], running: Iterable[RunningTrial], at_once: int) -> SecondsLeft:
        """The time left, where so many trials of each cell have not begun, and `at_once` run at once."""
        running = list(running)
        now = self._with_epochs_of(running)
        own = [left_now(trial) for trial in running]
        known = [one for one in own if one is not None]
        starting = Counter(trial.cell for trial, left in zip(running, own, strict=True) if left is None)
        total, longest, at_least = sum(known), max(known, default=0.0), False
        for cell in {**waiting, **starting}:
            count = waiting.get(cell, 0) + starting[cell]
            seconds = self._trial_seconds(cell, now) if count else 0.0
            if seconds is None and self._has_epochs(cell):
                return SecondsLeft(None)  # these trials take most of the time, so a bound without them says little
            if seconds is None:
                at_least = True
            else:
                total += count * seconds
                longest = max(longest, seconds)
        if at_least and not total:
            return SecondsLeft(None)
        return SecondsLeft(max(longest, total / max(1, at_once)), at_least)

    def _with_epochs_of(self, running: Iterable[RunningTrial]) -> Mapping[Key, Pace]:
        paces: defaultdict[Key, Pace] = defaultdict(Pace)
        for trial in running:
            if (each := trial.epoch_seconds) is not None:
                self._add(paces, trial.cell, 1, each)
        return paces

    def _trial_seconds(self, cell: Cell, running: Mapping[Key, Pace]) -> float | None:
        """What a trial of the cell is expected to take; None: nothing is known that compares."""
        own = self._paces.get((cell,), Pace())
        if own.trials:
            return own.seconds / own.trials
        epochs = self.plans[cell].space.train.epochs if self._has_epochs(cell) else 1
        for key in self._keys(cell):
            found = [paces[key] for paces in (self._paces, running) if key in paces]
            if count := sum(one.epochs for one in found):
                return epochs * sum(one.epoch_seconds for one in found) / count
        return None

    def _add(self, paces: defaultdict[Key, Pace], cell: Cell, epochs: int, seconds: float) -> None:
        for key in self._keys(cell):
            paces[key].epochs += epochs
            paces[key].epoch_seconds += seconds

    def _has_epochs(self, cell: Cell) -> bool:
        return self.plans[cell].method.trained and not cell.ensemble

    def _keys(self, cell: Cell) -> list[Key]:
        """What a cell is compared by, the closest first."""
        kind = cell.ensemble or ("trained" if self._has_epochs(cell) else "without epochs")
        return [(cell,), (kind, cell.dataset, cell.model, cell.shots), (kind, cell.model), (kind,)]
