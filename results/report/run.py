"""What the report is given of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flyp_sweep.results.analysis.best_repeats import Predicted
from flyp_sweep.results.analysis.evidence import Evidence
from flyp_sweep.results.analysis.importances import Importance
from flyp_sweep.results.analysis.searches import CellSearch
from flyp_sweep.results.ledger.schema import Record, TrialRecord


@dataclass(frozen=True)
class Run:
    """A run: its name, its search space as YAML, the ledger's records, and what tables and figures read of the run."""

    name: str
    space: str
    records: tuple[Record, ...]
    evidence: Evidence
    searches: tuple[CellSearch, ...] = ()
    predicted: Predicted = field(default_factory=Predicted)
    importances: Sequence[Importance] = ()

    @property
    def trials(self) -> list[TrialRecord]:
        return [record for record in self.records if isinstance(record, TrialRecord)]
