"""What a sweep that is taken up again has to know of its ledger: the outcomes of its trials, and its selections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from flyp_sweep.orchestrator.protocol.protocol import Outcome
from flyp_sweep.results.analysis.evidence import SplitLine
from flyp_sweep.results.ledger.file import Line, decode_record, decode_typed, last_line, last_selections, read_lines
from flyp_sweep.results.ledger.schema import Record
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.trainers.spec import SEARCH


@dataclass(frozen=True)
class Earlier:
    """The outcomes, a trial each, and the last selection of each cell."""

    outcomes: list[Outcome]
    selections: Mapping[Cell, Record]


class _Evaluations(msgspec.Struct, frozen=True, gc=False):
    alpha: float | None
    splits: list[SplitLine]


class _Trial(msgspec.Struct, frozen=True, tag_field="kind", tag="trial"):
    """What an `Outcome` has, and what else a trial must have: a bad line is met now, not after hours of trials."""

    trial_id: str
    status: Literal["done", "stopped", "failed"]
    score: float | None
    loss: float | None
    cell: Cell
    stage: Literal["search", "repeat"]
    seed: int
    hparams: dict[str, Any]
    config_id: str
    evaluations: list[_Evaluations]


class _Selection(msgspec.Struct, frozen=True, tag_field="kind", tag="selection"):
    pass


_DECODER = msgspec.json.Decoder(_Trial | _Selection)


def read_earlier(path: Path) -> Earlier:
    """What the ledger at `path` holds, nothing where there is no file; errors as in `ledger.file.read_lines`."""
    lines = read_lines(path, _decode)
    selections = last_selections(line for line in lines if not isinstance(line, Outcome))
    return Earlier([line for line in lines if isinstance(line, Outcome)], selections)


def amid_search(path: Path) -> bool:
    """Whether the ledger at `path` ends with a trial of a search, so that what it chose has yet to be repeated.

    That much is known at once, before 100,000 trials are read.
    """
    line = last_line(path)
    return line is not None and line.get("stage") == SEARCH


def _decode(line: bytes) -> Line[Outcome | Record] | None:
    found = decode_typed(line, _DECODER)
    if isinstance(found, _Trial):
        if any(one.primary not in one.metrics for at in found.evaluations for one in at.splits):
            decode_record(line)  # says what is wrong
        return Line(found.trial_id, found.status, Outcome(found.trial_id, found.status, found.score, found.loss))
    record = decode_record(line) if found else None
    return Line(None, "", record.content) if record else None
