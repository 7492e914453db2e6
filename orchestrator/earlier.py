"""What a sweep that is taken up again has to know of its ledger: the outcomes of its trials, and its selections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from orchestrator.protocol import Outcome
from results.evidence import SplitLine
from results.ledger import Line, decode_record, decode_typed, last_selections, read_lines
from results.records import Record
from search_spaces.cell import Cell


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
    """What the ledger at `path` holds, nothing where there is no file; see `results.ledger.read_lines` for errors."""
    lines = read_lines(path, _decode)
    selections = last_selections(line for line in lines if not isinstance(line, Outcome))
    return Earlier([line for line in lines if isinstance(line, Outcome)], selections)


def _decode(line: bytes) -> Line[Outcome | Record] | None:
    found = decode_typed(line, _DECODER)
    if isinstance(found, _Trial):
        if any(one.primary not in one.metrics for at in found.evaluations for one in at.splits):
            decode_record(line)  # says what is wrong
        return Line(found.trial_id, found.status, Outcome(found.trial_id, found.status, found.score, found.loss))
    record = decode_record(line) if found else None
    return Line(None, "", record.content) if record else None
