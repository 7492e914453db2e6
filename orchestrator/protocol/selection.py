"""How configurations are ranked, and what is selected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from flyp_sweep.orchestrator.protocol.algorithms import Config
from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.plan import Candidate, CellPlan
from flyp_sweep.results.ledger.schema import SelectionRecord
from flyp_sweep.trainers.spec import DONE, FAILED, TrialSpec


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
            label=self.plan.label,
            config_id=self.repeats[0].config_id,
            hparams=self.winner,
            score=self.score,
            metric=self.plan.data.metric,
            configs=len(self.searched) // len(self.plan.search_seeds),
            seeds=len(self.plan.search_seeds) if self.searched else 0,
            searched=[one.trial_id for one in self.searched],
            repeats=[spec.trial_id for spec in self.repeats],
            space={name: distribution.to_json() for name, distribution in self.plan.searched.items()},
            objective=self.plan.model.objective,
            data=self.plan.data.identity.training,
            evaluated=dict(self.plan.data.identity.evaluated),
            overlaps=dict(self.plan.data.identity.overlaps),
            near_duplicates=dict(self.plan.data.near_duplicates),
            incomplete={split: dict(counts) for split, counts in self.plan.data.incomplete.items()},
            split_rules=list(self.plan.data.split_rules),
            deterministic=self.plan.is_deterministic,
            family=self.plan.space.family_of(self.plan.cell.dataset),
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A configuration that the search algorithm asked for, and its trials: one per seed."""

    config: Config
    trials: Sequence[Candidate]


def best(asked: Iterable[Asked], outcomes: Mapping[str, Outcome]) -> tuple[Config, float] | None:
    """The configuration of highest mean score, and that score (ties: lower mean loss, then asked earlier).

    One that a scheduler stopped wins only where none ran to its end; None when every configuration failed.
    """
    ranked = [(mean(one.trials, outcomes), one.config) for one in asked]
    able = [(ended, score, -loss, config) for (score, loss, ended), config in ranked if score is not None]
    if not able:
        return None
    _, score, _, winner = max(able, key=lambda one: one[:3])
    return winner, score


def mean(trials: Iterable[Candidate], outcomes: Mapping[str, Outcome]) -> tuple[float | None, float, bool]:
    """Mean score and loss over the seeds of a configuration, and whether all its trials ran to their end.

    The score is None where a trial failed.
    """
    found = [outcomes[one.trial_id] for one in trials]
    scores = [one.score for one in found if one.status != FAILED and one.score is not None]
    losses = [one.loss for one in found if one.loss is not None]
    if len(scores) < len(found):
        return None, float("inf"), False
    return fmean(scores), fmean(losses), all(one.status == DONE for one in found)


def ingredients(trials: Iterable[Candidate], seed: int, outcomes: Mapping[str, Outcome]) -> list[Mapping[str, Any]]:
    """The hyper-parameters of the trials of this seed that ran to their end, best first.

    Ties: lower loss, then earlier.
    """
    ended = [
        (outcome.score, -outcome.loss, one.hparams)
        for one in trials
        if one.seed == seed and (outcome := outcomes[one.trial_id]).status == DONE
        if outcome.score is not None and outcome.loss is not None
    ]
    return [hparams for *_, hparams in sorted(ended, key=lambda one: one[:2], reverse=True)]
