"""What the report is given of a run."""

from __future__ import annotations

from dataclasses import dataclass

from results.evidence import Evidence
from results.records import Record
from results.searches import Search


@dataclass(frozen=True)
class Run:
    """A run: its name, its search space as YAML, the ledger's records, and what tables and figures read of them."""

    name: str
    space: str
    records: tuple[Record, ...]
    evidence: Evidence
    searches: tuple[Search, ...] = ()

    @property
    def trials(self) -> list[Record]:
        return [record for record in self.records if record["kind"] == "trial"]
