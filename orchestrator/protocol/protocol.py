"""The protocol of a whole sweep: which trial of which cell is next. No Ray, no files, no clock in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flyp_sweep.orchestrator.protocol.cells import CellProtocol, EnsembleProtocol
from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.selection import Selection
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.trainers.spec import FAILED, TrialSpec


class Protocol:
    """The whole sweep: hands out trials of any cell that can go on, in the order of the cells.

    Repeats of a searched configuration come last: a selection waits for the last trial of its search, and meanwhile
    these repeats keep the workers busy. Cells without a search come first: they read every split at once, so a broken
    split is found early. Cells of ensembles follow their base, so the weights that ensembles are made of can go soon.
    """

    def __init__(self, plans: Iterable[CellPlan], outcomes: Iterable[Outcome] = ()) -> None:
        cells: dict[Cell, CellProtocol] = {}
        for plan in plans:
            of = plan.cell
            cells[of] = EnsembleProtocol(plan, cells[of.base]) if of.ensemble else CellProtocol(plan)
        self._by_cell = cells
        self.cells = list(cells.values())
        self.outcomes = {outcome.trial_id: outcome for outcome in outcomes}
        self._running: dict[str, CellProtocol] = {}
        self._blocked: set[str] = set()
        self.selections: list[Selection] = []
        self._keep(cell.advance(self.outcomes) for cell in self.cells)
        self._kept_of = {cell: one.kept(self.outcomes) for cell, one in cells.items()}

    def plan_of(self, cell: Cell) -> CellPlan:
        """The plan of a cell of this sweep."""
        return self._by_cell[cell].plan

    def config_number(self, spec: TrialSpec) -> int | None:
        """The number of a search trial's configuration, from 1, in the order of the search; None for a repeat."""
        return self._by_cell[spec.cell].config_numbers.get(spec.trial_id)

    def next(self) -> TrialSpec | None:
        """The next trial to start; None when all that can start has."""
        for cell in self._startable():
            spec = cell.next()
            self._running[spec.trial_id] = cell
            return spec
        return None

    def finish(self, outcome: Outcome) -> list[Selection]:
        """A trial has finished; returns the selections that it made possible, of its cell and of its ensembles."""
        cell = self._running.pop(outcome.trial_id)
        self.outcomes[outcome.trial_id] = outcome
        cell.open.discard(outcome.trial_id)
        made_of_it = [one for one in self._ensembles if one.base is cell]
        return self._keep(one.advance(self.outcomes) for one in (cell, *made_of_it))

    def give_up(self, trial_id: str) -> None:
        """The data set of this trial cannot be read: keep no outcome, and start no more trials on that data set."""
        self._blocked.add(self._running.pop(trial_id).plan.cell.dataset)

    @property
    def done(self) -> bool:
        """Nothing runs and nothing can start."""
        return not self._running and not any(True for _ in self._startable())

    @property
    def failed(self) -> bool:
        """A trial of this sweep has failed. Trials of an earlier version of the space do not count."""
        ids = (trial.trial_id for cell in self.cells for trial in cell.trials)
        return any(trial_id in self.outcomes and self.outcomes[trial_id].status == FAILED for trial_id in ids)

    @property
    def complete(self) -> bool:
        """Every cell has gone through search and repeats."""
        return all(cell.over for cell in self.cells)

    @property
    def repeats(self) -> set[str]:
        """The repeats that the selections have planned."""
        return {spec.trial_id for cell in self.cells if cell.selection for spec in cell.selection.repeats}

    @property
    def kept(self) -> set[str]:
        """The trials whose fits stay: the models that the run keeps, and those that ensembles may need."""
        return self.awaited.union(*(cell.kept(self.outcomes) for cell in self.cells))

    def unneeded(self, spec: TrialSpec) -> set[str]:
        """Now that this repeat has ended: which fits can go, of itself, of the best before it, and of its members.

        No other trial has become unneeded by its end, so the work does not grow with the cells of the sweep.
        """
        base = spec.cell.base
        before, now = self._kept_of[spec.cell], self._by_cell[spec.cell].kept(self.outcomes)
        self._kept_of[spec.cell] = now
        awaited = [one.awaited(self.outcomes) for one in self._ensembles if one.plan.cell.base == base]
        concerned = {spec.trial_id, *before, *(one.trial_id for one in spec.members)}
        return concerned.difference(now, self._kept_of[base], *awaited)

    @property
    def awaited(self) -> set[str]:
        """The trials whose weights will, or may, be needed by ensembles that lack an outcome."""
        return set[str]().union(*(cell.awaited(self.outcomes) for cell in self._ensembles))

    @property
    def _ensembles(self) -> list[EnsembleProtocol]:
        return [cell for cell in self.cells if isinstance(cell, EnsembleProtocol)]

    def _startable(self) -> Iterator[CellProtocol]:
        able = [cell for cell in self.cells if cell.pending and cell.plan.cell.dataset not in self._blocked]
        return iter(sorted(able, key=lambda cell: cell.plan.fixed is None and cell.selection is not None))

    def _keep(self, selections: Iterable[Selection | None]) -> list[Selection]:
        found = [one for one in selections if one is not None]
        self.selections += found
        return found
