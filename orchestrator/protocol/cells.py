"""The protocol of one cell, a state machine: search, select, repeat. A cell of ensembles waits for its base instead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from flyp_sweep.orchestrator.protocol.algorithms import Config, Tried, algorithm_of
from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.plan import Candidate, CellPlan
from flyp_sweep.orchestrator.protocol.selection import Asked, Selection, best, ingredients, mean
from flyp_sweep.results.ledger.best_repeat import best_repeat
from flyp_sweep.trainers.spec import DONE, FAILED, TrialSpec


class CellProtocol:
    """One cell: generations of its search, then the selection, then its repeats."""

    def __init__(self, plan: CellPlan) -> None:
        self.plan = plan
        self.generation = -1
        self.searched: list[Candidate] = []
        self.selection: Selection | None = None
        self.pending: deque[Candidate | TrialSpec] = deque()
        self.over = False
        self.open: set[str] = set()
        self.config_numbers: dict[str, int] = {}
        """Search trial -> the number of its configuration, from 1."""
        self._asked: list[Asked] = []

    def advance(self, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """Go on as far as `outcomes` (by trial id) allow; returns the selection if it is made now."""
        selected = None
        while not self.over and not self.open:
            if self.selection is not None:
                self.over = True
            elif not self._next_generation(outcomes):
                selected = self.selection = self._select(outcomes)
                self._start(selected.repeats if selected else (), outcomes)
                self.over = selected is None
        return selected

    def next(self) -> TrialSpec:
        """The next pending trial; there must be one."""
        trial = self.pending.popleft()
        return self.plan.search_trial(trial.hparams, trial.seed) if isinstance(trial, Candidate) else trial

    def kept(self, outcomes: Mapping[str, Outcome]) -> set[str]:
        """The repeats whose fits the run keeps as models: of those that are done the best on `id_val`, all, or none.

        Failed ones are among them: if there is a fit of one, its evaluation failed alone, and may be taken up again.
        """
        if self.plan.space.weights.keep == "none":
            return set()
        planned = self.selection.repeats if self.selection else ()
        ended = [found for spec in planned if (found := outcomes.get(spec.trial_id))]
        done = [one for one in ended if one.status == DONE]
        if self.plan.space.weights.keep == "best":
            best = best_repeat(done)
            done = [best] if best else []
        return {one.trial_id for one in [*done, *(one for one in ended if one.status == FAILED)]}

    def _start(self, trials: Iterable[Candidate | TrialSpec], outcomes: Mapping[str, Outcome]) -> None:
        """Make the trials of the next step pending, except those that have an outcome already."""
        self.pending = deque(trial for trial in trials if trial.trial_id not in outcomes)
        self.open = {trial.trial_id for trial in self.pending}

    @property
    def trials(self) -> list[Candidate | TrialSpec]:
        """The trials decided on so far, those of the search first."""
        return [*self.searched, *(self.selection.repeats if self.selection else ())]

    def _next_generation(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Ask the search algorithm; False when the search is over."""
        if self.plan.fixed is not None:
            return False
        self.generation += 1
        tried = [Tried(one.config, mean(one.trials, outcomes)[0]) for one in self._asked]
        configs = algorithm_of(self.plan.space).ask(self.plan, self.generation, tried)
        asked = [Asked(config, self.plan.candidates(config)) for config in configs]
        for number, one in enumerate(asked, start=len(self._asked) + 1):
            for trial in one.trials:  # a configuration that is asked for again keeps its number
                self.config_numbers.setdefault(trial.trial_id, number)
        self._asked += asked
        known = {one.trial_id for one in self.searched}
        fresh = {trial.trial_id: trial for one in asked for trial in one.trials}
        new = [trial for trial_id, trial in fresh.items() if trial_id not in known]
        self.searched += new
        self._start(new, outcomes)
        return bool(asked)

    def _select(self, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """The selection of the best configuration; None when every configuration failed."""
        if self.plan.fixed is not None:
            return self._selection(dict(self.plan.fixed), None)
        found = best(self._asked, outcomes)
        return self._selection(*found) if found else None

    def _selection(self, winner: Config, score: float | None) -> Selection:
        repeats = tuple(self.plan.repeat_trial(winner, seed) for seed in self.plan.repeat_seeds)
        return Selection(self.plan, winner, score, tuple(self.searched), repeats)


class EnsembleProtocol(CellProtocol):
    """A cell of ensembles: it has no search, and waits for the trials of `base` that its ensembles are made of."""

    def __init__(self, plan: CellPlan, base: CellProtocol) -> None:
        super().__init__(plan)
        self.base = base

    def advance(self, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """As `CellProtocol.advance`, once the base has finished its search (soups) or its repeats (mixtures)."""
        is_ripe = self.base.over or (self.plan.is_soup and self.base.selection is not None)
        return super().advance(outcomes) if is_ripe else None

    def awaited(self, outcomes: Mapping[str, Outcome]) -> set[str]:
        """The trials whose weights are, or may be, needed by ensembles that lack an outcome."""
        if self.selection is not None:
            lacking = [spec for spec in self.selection.repeats if spec.trial_id not in outcomes]
            return {member.trial_id for spec in lacking for member in spec.members}
        base = self.base.selection
        candidates = self.base.searched if self.plan.is_soup else base.repeats if base else ()
        return set() if self.over else {one.trial_id for one in candidates}

    def kept(self, outcomes: Mapping[str, Outcome]) -> set[str]:
        """As `CellProtocol.kept` for soups; a mixture has the weights of its member, which is a repeat."""
        return super().kept(outcomes) if self.plan.is_soup else set()

    def _select(self, outcomes: Mapping[str, Outcome]) -> Selection | None:
        """The ensembles that can be made; None if no trial of the base ran to its end."""
        base = self.base.selection
        if not self.plan.is_soup:
            return base and replace(self._selection(base.winner, base.score), searched=base.searched)
        soups = tuple(soup for seed in self.plan.search_seeds if (soup := self._soup(seed, outcomes)) is not None)
        return Selection(self.plan, {}, None, tuple(self.base.searched), soups) if soups else None

    def _soup(self, seed: int, outcomes: Mapping[str, Outcome]) -> TrialSpec | None:
        """The soup of all trials of this seed that ran to their end; None where none did."""
        ranked = ingredients(self.base.searched, seed, outcomes)
        return self.plan.soup(ranked, seed) if ranked else None
