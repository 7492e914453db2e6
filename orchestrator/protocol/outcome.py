"""What the protocol may know of a finished trial: a status and two numbers of `id_val`.

Test and OOD numbers do not fit through this door, so no selection can depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyp_sweep.results.ledger.schema import TrialRecord


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
