"""What the search of every cell tried and how it scored. Scores on id_val alone: no test or OOD number is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from flyp_sweep.results.ledger.file import last_selections, recorded_labels, trials_by_id
from flyp_sweep.results.ledger.schema import Record, SelectionRecord, TrialRecord
from flyp_sweep.results.naming import method_label
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.distributions import Choice, Distribution, parse
from flyp_sweep.search_spaces.model import SearchSpace


@dataclass(frozen=True)
class ScoredConfig:
    """A configuration and the score (a fraction) of each of its trials; `failed` counts those that have none.

    `stopped` counts those that the scheduler ended, whose score is the best until then.
    """

    config_id: str
    hparams: Mapping[str, Any]
    scores: tuple[float, ...]
    failed: int = 0
    stopped: int = 0

    @property
    def score(self) -> float | None:
        """The mean over seeds; None where a trial failed, for such a configuration cannot be selected."""
        return fmean(self.scores) if self.scores and not self.failed else None


@dataclass(frozen=True)
class CellSearch:
    """The search of one cell: configurations in the order they were asked, and what each hyper-parameter ranged over.

    `label` is how its method is printed. `selected` is the id of the winner, None before there is one.
    """

    cell: Cell
    label: str
    tried: tuple[ScoredConfig, ...]
    ranges: Mapping[str, Distribution]
    selected: str | None = None
    metric: str = ""

    @property
    def winner(self) -> ScoredConfig | None:
        return next((one for one in self.tried if one.config_id == self.selected), None)


def searches_of(records: Iterable[Record], space: SearchSpace | None = None) -> list[CellSearch]:
    """The search of every cell that has one, in the order of the ledger.

    Once a cell has a selection, the trials that it saw count and no other. Ranges are those that the selection names;
    one that names none (earlier versions wrote such) has those of `space`, else the values that were tried.
    """
    records = list(records)
    selections = last_selections(records)
    by_cell: dict[Cell, list[TrialRecord]] = {}
    for trial in trials_by_id(records).values():
        if trial.stage == "search":
            by_cell.setdefault(trial.cell, []).append(trial)
    labels = recorded_labels(records)
    return [_search(cell, labels, trials, selections.get(cell), space) for cell, trials in by_cell.items()]


def _search(
    cell: Cell,
    labels: Mapping[str, str],
    trials: list[TrialRecord],
    selection: SelectionRecord | None,
    space: SearchSpace | None,
) -> CellSearch:
    if selection is not None:
        searched = set(selection.searched)
        trials = [trial for trial in trials if trial.trial_id in searched] or trials
    by_config: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        by_config.setdefault(trial.config_id, []).append(trial)
    tried = tuple(_tried(config_id, own) for config_id, own in by_config.items())
    metric = (selection or trials[0]).metric or ""
    ranges = _ranges(cell, tried, selection, space)
    label = method_label(cell.method, labels)
    return CellSearch(cell, label, tried, ranges, selection.config_id if selection else None, metric)


def _tried(config_id: str, trials: list[TrialRecord]) -> ScoredConfig:
    scores = tuple(trial.score for trial in trials if trial.status != "failed" and trial.score is not None)
    stopped = sum(trial.status == "stopped" for trial in trials)
    return ScoredConfig(config_id, trials[0].hparams, scores, len(trials) - len(scores), stopped)


def _ranges(
    cell: Cell, tried: tuple[ScoredConfig, ...], selection: SelectionRecord | None, space: SearchSpace | None
) -> dict[str, Distribution]:
    told = {name: parse(raw) for name, raw in (selection.space if selection else {}).items()}
    given = space.for_method(cell.method) if space else {}
    ranges = {}
    for name in dict.fromkeys(name for one in tried for name in one.hparams):
        values = dict.fromkeys(one.hparams[name] for one in tried if name in one.hparams)
        ranges[name] = told.get(name) or given.get(name) or Choice(tuple(values))
    return ranges
