"""Resuming: what a ledger holds, and what of it the sweep as it now is can use."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.results.ledger.file import Interner, last_selections, read_lines
from flyp_sweep.results.ledger.schema import Record, SelectionRecord, TrialRecord, decode_superseded
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.roles import REPORTED
from flyp_sweep.trainers.spec import DONE, FAILED, REPEAT

CALIBRATION = {"nll", "brier", "ece"}
"""Metrics that lines of earlier versions lack."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished trial: its outcome, and what it was made with. A ledger may hold 100,000 of them.

    `seconds` are those of its longest run: a later one may have evaluated it alone.
    """

    outcome: Outcome
    cell: Cell
    stage: str
    seed: int
    settings: Mapping[str, Any]
    seconds: float
    measured: bool = True
    """Whether its evaluations hold all metrics of this version, and its predictions are there if they are asked for."""

    @classmethod
    def of(cls, record: TrialRecord, seconds: float, predicted: Container[str] | None = None) -> Finished:
        reported = [one for at in record.evaluations for one in at.splits if one.role in REPORTED]
        measured = not reported or (
            any(one.metrics.keys() >= CALIBRATION for one in reported)
            and (predicted is None or record.trial_id in predicted)
        )
        outcome = Outcome.of(record)
        return cls(outcome, record.cell, record.stage, record.seed, record.settings, seconds, measured)

    def covers(self, evaluated: Mapping[str, str]) -> bool:
        """Whether it was evaluated on these splits, by name, with this very content."""
        splits = self.settings.get("splits", {})
        return all(splits.get(name) == identity for name, identity in evaluated.items())


@dataclass(frozen=True)
class Earlier:
    """What a ledger holds: its trials, the last selection of each cell, and the trials known not to count any more."""

    trials: list[Finished] = field(default_factory=list)
    selections: Mapping[Cell, SelectionRecord] = field(default_factory=dict)
    superseded: frozenset[str] = frozenset()

    def usable(
        self, plans: Iterable[CellPlan], *, retry_failed: bool = False, all_metrics: bool = False
    ) -> list[Outcome]:
        """The outcomes that need no other run.

        A repeat needs one if it was not evaluated on what its plan evaluates, or, with `all_metrics`, not by all that
        there are; a failed trial if `retry_failed`.
        """
        planned = {plan.cell: plan.data.identity.evaluated for plan in plans}
        return [
            one.outcome
            for one in self.trials
            if not (retry_failed and one.outcome.status == FAILED)
            if not (one.stage == REPEAT and one.outcome.status == DONE)
            or (one.covers(planned.get(one.cell, {})) and (one.measured or not all_metrics))
        ]


def read_earlier(path: Path, predicted: Container[str] | None = None) -> Earlier:
    """What the ledger at `path` holds, nothing where there is no file; errors as in `ledger.file.read_lines`.

    `predicted` are the trials whose predictions the run has; None: nobody asks for them.
    """
    superseded: set[str] = set()
    shared = Interner(curves=False)
    longest: dict[str, float] = {}
    """The seconds of the repeats."""

    def note(line: bytes) -> None:
        found = decode_superseded(line)
        superseded.update(found.trials if found else ())

    def keep(record: Record) -> SelectionRecord | Finished:
        if isinstance(record, SelectionRecord):
            return record
        superseded.discard(record.trial_id)
        kept = shared(record)
        assert isinstance(kept, TrialRecord)
        seconds = max(kept.seconds, longest.get(kept.trial_id, 0.0))
        if kept.stage == REPEAT:
            longest[kept.trial_id] = seconds
        return Finished.of(kept, seconds, predicted)

    kept = read_lines(path, keep, note)
    selections = last_selections(one for one in kept if isinstance(one, SelectionRecord))
    return Earlier([one for one in kept if isinstance(one, Finished)], selections, frozenset(superseded))
