"""What the report says of whole runs: how much ran and when, what failed and why, and what it was computed with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyp_sweep.results.ledger.schema import STAGES, TrialRecord
from flyp_sweep.results.report.run import Run


@dataclass(frozen=True)
class RunFacts:
    """Counts of trials by status, the seconds that all took together by stage, and when the last one finished."""

    trials: int
    statuses: Mapping[str, int]
    seconds: Mapping[str, float]
    finished: str


@dataclass(frozen=True)
class Failure:
    """A trial that failed, with the reason and the log that the ledger has."""

    trial_id: str
    cell: str
    stage: str
    seed: int
    hparams: str
    reason: str
    log: str


@dataclass(frozen=True)
class FactCount:
    """A set of facts (packages and their versions, or a machine) and how many trials it is true of."""

    facts: str
    trials: int


def facts_of(runs: Sequence[Run]) -> RunFacts:
    """The facts of all runs together."""
    trials = [trial for run in runs for trial in run.trials]
    seconds: dict[str, float] = {}
    for trial in trials:
        seconds[trial.stage] = seconds.get(trial.stage, 0.0) + trial.seconds
    finished = max((trial.finished for trial in trials), default="")
    by_stage: dict[str, float] = {stage: seconds[stage] for stage in STAGES if stage in seconds}
    return RunFacts(len(trials), Counter(trial.status for trial in trials), by_stage, finished)


def failures_of(runs: Sequence[Run]) -> list[Failure]:
    """Every failed trial, in the order of the ledgers."""
    return [
        Failure(
            trial.trial_id,
            trial.cell.key,
            trial.stage,
            trial.seed,
            _pairs(trial.hparams),
            trial.reason or "no reason recorded",
            trial.log or "",
        )
        for run in runs
        for trial in run.trials
        if trial.status == "failed"
    ]


def notes_of(trials: Iterable[TrialRecord]) -> list[str]:
    """What trials noted of themselves, each note once, with how many trials say it."""
    counts = Counter(f"{trial.cell.key}: {note}" for trial in trials for note in trial.notes)
    return [note if count == 1 else f"{note} ({count} trials)" for note, count in counts.items()]


def packages_of(runs: Sequence[Run]) -> dict[str, list[FactCount]]:
    """The sets of package versions, and the machines, that trials were computed with."""
    trials = [trial for run in runs for trial in run.trials]
    return {
        "Packages": _kinds(trial.versions for trial in trials),
        "Hardware": _kinds(trial.machine for trial in trials)
        or [FactCount("the ledger does not say: it was written before it did", 0)],
    }


def _kinds(facts_of_trials: Iterable[Mapping[str, Any] | None]) -> list[FactCount]:
    held = Counter(_pairs(facts) for facts in facts_of_trials if facts)
    return [FactCount(facts, count) for facts, count in held.items()]


def _pairs(values: Mapping[str, Any]) -> str:
    told = {name: value for name, value in values.items() if value is not None}
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in told.items()
    )
