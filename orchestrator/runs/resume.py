"""What a sweep that is resumed needs of its ledger: the outcomes of its trials, and its selections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.results.ledger.file import last_line, last_selections, read_lines
from flyp_sweep.results.ledger.schema import SelectionRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.trainers.spec import SEARCH


@dataclass(frozen=True)
class Earlier:
    """The outcomes, a trial each, and the last selection of each cell."""

    outcomes: list[Outcome]
    selections: Mapping[Cell, SelectionRecord]


def read_earlier(path: Path) -> Earlier:
    """What the ledger at `path` holds, nothing where there is no file; errors as in `ledger.file.read_lines`."""
    kept = read_lines(path, lambda record: record if isinstance(record, SelectionRecord) else Outcome.of(record))
    selections = last_selections(one for one in kept if isinstance(one, SelectionRecord))
    return Earlier([one for one in kept if isinstance(one, Outcome)], selections)


def amid_search(path: Path) -> bool:
    """Whether the ledger at `path` ends with a trial of a search, so that the selection is still to be repeated.

    The last line tells so at once, before 100,000 trials are read.
    """
    line = last_line(path)
    return line is not None and line.get("stage") == SEARCH
