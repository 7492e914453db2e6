"""How much of a search's scores each hyper-parameter explains: Optuna's importances, from the ledger's search trials.

Scores are those of the selection, of id_val alone. The evaluator is fANOVA (Hutter et al., "An efficient approach for
assessing hyperparameter importance", ICML 2014), with a fixed seed: a random forest predicts the score, and the share
of a hyper-parameter is the variance over the searched range of its mean prediction, relative to the others' shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flyp_sweep.results.analysis.searches import CellSearch, ScoredConfig
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.distributions import (
    Choice,
    Distribution,
    IntRange,
    LogUniform,
    Scalar,
    Uniform,
    is_number,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST_CONFIGS = 8
"""Configurations with a score that importances are computed from. In simulated searches of 8, in which one of two
hyper-parameters alone moved the scores, this one came first in 85% to 98%; in all of 16."""
MOST_CONFIGS = 100
"""The first of a search that are looked at: a forest of more takes seconds per cell."""
_SEED = 0


@dataclass(frozen=True)
class Importance:
    """The `shares` of the hyper-parameters of one search, which add up to 1, largest first; or the `reason` for none.

    `configs` were looked at; a trial of `stopped` of these was ended by the scheduler.
    """

    cell: Cell
    label: str
    configs: int
    stopped: int
    shares: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


def importances_of(searches: Iterable[CellSearch]) -> list[Importance]:
    """The importances of every search that varied several hyper-parameters: of one alone there is no share to tell."""
    return [found for search in searches if (found := _importance(search)) is not None]


def _importance(search: CellSearch) -> Importance | None:
    """Of configurations that have a score and lie in what was searched; None unless two hyper-parameters varied."""
    able = [one for one in search.tried if one.score is not None and _is_within(one, search.ranges)][:MOST_CONFIGS]
    names = [name for name in search.ranges if len({one.hparams.get(name) for one in able}) > 1]
    names = [name for name in names if all(name in one.hparams for one in able)]
    if len(names) < 2:
        return None
    told = Importance(search.cell, search.label, len(able), sum(one.stopped > 0 for one in able))
    if len(able) < FEWEST_CONFIGS:
        return replace(told, reason=f"{counted(len(able), 'configuration')} with a score, of at least {FEWEST_CONFIGS}")
    if len({one.score for one in able}) == 1:
        return replace(told, reason="all configurations have the same score")
    return replace(told, shares=_shares(able, {name: search.ranges[name] for name in names}))


def _is_within(config: ScoredConfig, ranges: Mapping[str, Distribution]) -> bool:
    return all(ranges[name].holds(value) for name, value in config.hparams.items() if name in ranges)


def _shares(configs: Sequence[ScoredConfig], ranges: Mapping[str, Distribution]) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _optuna_distribution(found) for name, found in ranges.items()}
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: _placed(one.hparams[name], found) for name, found in ranges.items()},
                distributions=distributions,
                value=one.score,
            )
            for one in configs
        ]
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=_SEED)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _optuna_distribution(found: Distribution) -> BaseDistribution:
    """The range as fANOVA is to see it: all that is drawn alike often is alike wide."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match found:
        case LogUniform():
            return FloatDistribution(math.log(found.low), math.log(found.high))
        case Uniform():
            return FloatDistribution(found.low, found.high)
        case IntRange():
            return IntDistribution(found.low, found.high)
        case Choice() if all(map(is_number, found.options)):
            return IntDistribution(0, found.count - 1)
        case Choice():
            return CategoricalDistribution(found.options)
    raise TypeError(f"no importance of {found!r}")


def _placed(value: Scalar, found: Distribution) -> Scalar:
    """Where a value stands in the range that `_optuna_distribution` makes of `found`."""
    match found:
        case LogUniform():
            return math.log(value)  # type: ignore[arg-type]  # a number, as it lies within
        case Choice() if all(map(is_number, found.options)):
            return sorted(found.options).index(value)
    return value
