"""The protocol as a state machine: search, select, repeat, and ensembles. No Ray, no files, no clock in it.

What it learns of a finished trial is an `Outcome`: a status and two numbers of `id_val`. Test and OOD numbers do not
fit through that door, so no selection can depend on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from flyp_sweep.orchestrator.protocol.algorithms import ALGORITHMS, Config, Tried, planned_configs
from flyp_sweep.orchestrator.protocol.plan import Candidate, CellPlan
from flyp_sweep.results.ledger.schema import SelectionRecord, TrialRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.trainers.spec import DONE, FAILED, TrialSpec


@dataclass(frozen=True)
class Outcome:
    """All that the protocol may know of a finished trial: `score` and `loss` are those on `id_val`."""

    trial_id: str
    status: str
    score: float | None
    loss: float | None

    @classmethod
    def of(cls, record: TrialRecord) -> Outcome:
        """The outcome in a trial's ledger record."""
        return cls(record.trial_id, record.status, record.score, record.loss)


@dataclass(frozen=True)
class Selection:
    """The winner of a cell's search: which configuration, on what grounds, and the trials that will repeat it."""

    plan: CellPlan
    winner: Config
    score: float | None
    searched: tuple[Candidate, ...]
    repeats: tuple[TrialSpec, ...]

    @property
    def record(self) -> SelectionRecord:
        """The selection as the ledger keeps it."""
        return SelectionRecord(
            cell=self.plan.cell,
            config_id=self.repeats[0].config_id,
            hparams=self.winner,
            score=self.score,
            metric=self.plan.metric,
            configs=len(self.searched) // len(self.plan.search_seeds),
            seeds=len(self.plan.search_seeds) if self.searched else 0,
            searched=[one.trial_id for one in self.searched],
            repeats=[spec.trial_id for spec in self.repeats],
            space={name: distribution.to_json() for name, distribution in self.plan.searched.items()},
            incomplete={split: dict(counts) for split, counts in self.plan.incomplete.items()},
        )


class CellProtocol:
    """One cell: generations of its search, then the selection, then its repeats."""

    def __init__(self, plan: CellPlan) -> None:
        self.plan = plan
        self.generation = -1
        self.searched: list[Candidate] = []
        self.selection: Selection | None = None
        self.pending: deque[Candidate | TrialSpec] = deque()
        self.over = False
        self._open: set[str] = set()
        self._asked: list[_Asked] = []

    def finish(self, trial_id: str, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """Take in that a trial of this cell has an outcome; returns the selection when it is made."""
        self._open.discard(trial_id)
        return self.advance(outcomes)

    def advance(self, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """Move on as far as `outcomes` (by trial id) allow; returns the selection when it is made."""
        selected = None
        while not self.over and not self._open:
            if self.selection is not None:
                self.over = True
            elif not self._next_generation(outcomes):
                selected = self.selection = self._select(outcomes)
                self._start(selected.repeats if selected else (), outcomes)
                self.over = selected is None
        return selected

    def next(self) -> TrialSpec:
        """The next of the trials that are pending, of which there must be one."""
        trial = self.pending.popleft()
        return self.plan.search_trial(trial.hparams, trial.seed) if isinstance(trial, Candidate) else trial

    def _start(self, trials: Iterable[Candidate | TrialSpec], outcomes: Mapping[str, Outcome]) -> None:
        """Make the trials of the next step pending, but for those that have an outcome already."""
        self.pending = deque(trial for trial in trials if trial.trial_id not in outcomes)
        self._open = {trial.trial_id for trial in self.pending}

    @property
    def trials(self) -> list[Candidate | TrialSpec]:
        """The trials decided on so far, those of the search first."""
        return [*self.searched, *(self.selection.repeats if self.selection else ())]

    @property
    def planned(self) -> int:
        """Trials that the whole cell will take at most."""
        return planned_configs(self.plan) * len(self.plan.search_seeds) + len(self.plan.repeat_seeds)

    def _next_generation(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Ask the search algorithm; False when the search is over."""
        if not self.plan.searched:
            return False
        self.generation += 1
        tried = [Tried(one.config, _mean(one.trials, outcomes)[0]) for one in self._asked]
        configs = ALGORITHMS[self.plan.space.search.algorithm](self.plan, self.generation, tried)
        asked = [_Asked(config, self.plan.candidates(config)) for config in configs]
        self._asked += asked
        known = {one.trial_id for one in self.searched}
        fresh = {trial.trial_id: trial for one in asked for trial in one.trials}
        new = [trial for trial_id, trial in fresh.items() if trial_id not in known]
        self.searched += new
        self._start(new, outcomes)
        return bool(asked)

    def _select(self, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """The configuration of highest mean score (ties: lower mean loss, then asked earlier).

        One that a scheduler stopped wins only where none ran to its end; None when every configuration failed.
        """
        if not self.plan.searched:
            return self._selection({}, None)
        ranked = [(_mean(one.trials, outcomes), one.config) for one in self._asked]
        able = [(ended, score, -loss, config) for (score, loss, ended), config in ranked if score is not None]
        if not able:
            return None
        _, score, _, winner = max(able, key=lambda one: one[:3])
        return self._selection(winner, score)

    def _selection(self, winner: Config, score: float | None) -> Selection:
        repeats = tuple(self.plan.repeat_trial(winner, seed) for seed in self.plan.repeat_seeds)
        return Selection(self.plan, winner, score, tuple(self.searched), repeats)


class EnsembleProtocol(CellProtocol):
    """A cell of ensembles: nothing is searched, and they wait for the trials of `base` that they are made of."""

    def __init__(self, plan: CellPlan, base: CellProtocol) -> None:
        super().__init__(plan)
        self.base = base

    def advance(self, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """As of any cell, once the search of its base is over, or its repeats are."""
        is_ripe = self.base.over or (self.plan.is_soup and self.base.selection is not None)
        return super().advance(outcomes) if is_ripe else None

    def awaited(self, outcomes: Mapping[str, Outcome]) -> set[str]:
        """The trials whose weights ensembles that lack an outcome are made of, or may be."""
        if self.selection is not None:
            lacking = [spec for spec in self.selection.repeats if spec.trial_id not in outcomes]
            return {member.trial_id for spec in lacking for member in spec.members}
        base = self.base.selection
        candidates = self.base.searched if self.plan.is_soup else base.repeats if base else ()
        return set() if self.over else {one.trial_id for one in candidates}

    def _select(self, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """The ensembles that can be made; None where there is none, for nothing of the base ran to its end."""
        base = self.base.selection
        if not self.plan.is_soup:
            return base and replace(self._selection(base.winner, base.score), searched=base.searched)
        soups = tuple(soup for seed in self.plan.search_seeds if (soup := self._soup(seed, outcomes)) is not None)
        return Selection(self.plan, {}, None, tuple(self.base.searched), soups) if soups else None

    def _soup(self, seed: int, outcomes: Mapping[str, Outcome]) -> TrialSpec | None:
        """The soup of all trials of this seed that ran to their end, best first (ties: lower loss, then earlier)."""
        ended = [
            (outcome.score, -outcome.loss, one.hparams)
            for one in self.base.searched
            if one.seed == seed and (outcome := outcomes[one.trial_id]).status == DONE
            if outcome.score is not None and outcome.loss is not None
        ]
        ranked = sorted(ended, key=lambda one: one[:2], reverse=True)
        return self.plan.soup([hparams for *_, hparams in ranked], seed) if ranked else None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A configuration that the search algorithm asked for, and its trials: one per seed."""

    config: Config
    trials: Sequence[Candidate]


def _mean(trials: Iterable[Candidate], outcomes: Mapping[str, Outcome]) -> tuple[float | None, float, bool]:
    """Mean score and loss over the seeds of a configuration, and whether all its trials ran to their end.

    The score is None where a trial failed.
    """
    found = [outcomes[one.trial_id] for one in trials]
    scores = [one.score for one in found if one.status != FAILED and one.score is not None]
    losses = [one.loss for one in found if one.loss is not None]
    if len(scores) < len(found):
        return None, float("inf"), False
    return fmean(scores), fmean(losses), all(one.status == DONE for one in found)


class Protocol:
    """The whole sweep: hands out trials of any cell that can go on, in the order of the cells.

    What a search has selected is repeated last: a selection waits for the last trial of its search, and meanwhile the
    repeats of other cells keep the workers busy. Cells without a search see every split at once, broken ones too, and
    ensembles, whose cells follow their base's, let go of the weights that they are made of.
    """

    def __init__(self, plans: Iterable[CellPlan], outcomes: Iterable[Outcome] = ()) -> None:
        cells: dict[Cell, CellProtocol] = {}
        for plan in plans:
            of = plan.cell
            cells[of] = EnsembleProtocol(plan, cells[of.base]) if of.ensemble else CellProtocol(plan)
        self.cells = list(cells.values())
        self.outcomes = {outcome.trial_id: outcome for outcome in outcomes}
        self._running: dict[str, CellProtocol] = {}
        self._blocked: set[str] = set()
        self.selections: list[Selection] = []
        self._keep(cell.advance(self.outcomes) for cell in self.cells)

    def next(self) -> TrialSpec | None:
        """The next trial to start; None when all that can start has."""
        for cell in self._startable():
            spec = cell.next()
            self._running[spec.trial_id] = cell
            return spec
        return None

    def finish(self, outcome: Outcome) -> list[Selection]:
        """Take in a finished trial; returns the selections that it made possible: of its cell, and of its ensembles."""
        cell = self._running.pop(outcome.trial_id)
        self.outcomes[outcome.trial_id] = outcome
        made_of_it = [one for one in self._ensembles if one.base is cell]
        found = (cell.finish(outcome.trial_id, self.outcomes), *(one.advance(self.outcomes) for one in made_of_it))
        return self._keep(found)

    def give_up(self, trial_id: str) -> None:
        """The data set of this trial cannot be read: start no more of its cells, and keep no outcome."""
        self._blocked.add(self._running.pop(trial_id).plan.cell.dataset)

    @property
    def done(self) -> bool:
        """Nothing runs and nothing can start."""
        return not self._running and not any(True for _ in self._startable())

    @property
    def failed(self) -> bool:
        """A trial of this sweep has failed; what an earlier version of the space ran does not count."""
        ids = (trial.trial_id for cell in self.cells for trial in cell.trials)
        return any(trial_id in self.outcomes and self.outcomes[trial_id].status == FAILED for trial_id in ids)

    @property
    def complete(self) -> bool:
        """Every cell has gone through search and repeats."""
        return all(cell.over for cell in self.cells)

    @property
    def awaited(self) -> set[str]:
        """The trials whose weights will, or may, be needed by ensembles that lack an outcome."""
        return set[str]().union(*(cell.awaited(self.outcomes) for cell in self._ensembles))

    @property
    def _ensembles(self) -> list[EnsembleProtocol]:
        return [cell for cell in self.cells if isinstance(cell, EnsembleProtocol)]

    def _startable(self) -> Iterator[CellProtocol]:
        able = [cell for cell in self.cells if cell.pending and cell.plan.cell.dataset not in self._blocked]
        return iter(sorted(able, key=lambda cell: bool(cell.plan.searched) and cell.selection is not None))

    def _keep(self, selections: Iterable[Selection | None]) -> list[Selection]:
        found = [one for one in selections if one is not None]
        self.selections += found
        return found
