"""Resuming: the outcomes and selections that a ledger holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.results.ledger.file import last_selections, read_lines
from flyp_sweep.results.ledger.schema import SelectionRecord
from flyp_sweep.search_spaces.cell import Cell


@dataclass(frozen=True)
class Earlier:
    """One outcome per trial, and the last selection of each cell."""

    outcomes: list[Outcome]
    selections: Mapping[Cell, SelectionRecord]


def read_earlier(path: Path) -> Earlier:
    """What the ledger at `path` holds, nothing where there is no file; errors as in `ledger.file.read_lines`."""
    kept = read_lines(path, lambda record: record if isinstance(record, SelectionRecord) else Outcome.of(record))
    selections = last_selections(one for one in kept if isinstance(one, SelectionRecord))
    return Earlier([one for one in kept if isinstance(one, Outcome)], selections)
