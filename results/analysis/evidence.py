"""What tables need of a ledger: its selections, and of its trials who they are and their numbers at two alphas.

A ledger of 100,000 trials holds millions of evaluations, of which a table shows few. They are decoded into typed
records and let go of line by line; the evaluations of search trials are skipped unread.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from flyp_sweep.results.analysis.alphas import same_alpha
from flyp_sweep.results.ledger.file import Line, Malformed, decode_json, decode_typed, read_lines
from flyp_sweep.results.ledger.schema import Record, fault
from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.ensembles import LOGIT_ENSEMBLE
from flyp_sweep.search_spaces.errors import InputError

Side = Literal["without", "with"]

SIDES: tuple[Side, Side] = ("without", "with")
SIDE_LABELS: dict[Side, str] = {"without": "without ensembling", "with": "with ensembling"}

_HASHED_AT_ONCE = 1 << 24  # a thread gets the interpreter back every 5 ms: large parts keep it waiting less


class Measure(NamedTuple):
    """What was measured of a trial at one alpha: a split, its role, its primary metric."""

    split: str
    role: str
    metric: str


Numbers = Mapping[Measure, float]


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished trial. `numbers` holds, per side, the primary metric (a fraction) of `id_test` and each OOD split.

    Without ensembling is alpha = 1, with ensembling the alpha that the trial chose on id_val; the zero-shot model has
    the same numbers on both sides, a logit ensemble none without: there it is the repeat that it is made of, which has
    a row of its own. A search trial has none.
    """

    trial_id: str
    cell: Cell
    stage: str
    seed: int
    config_id: str
    status: str
    reason: str | None
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    numbers: Mapping[Side, Numbers]


@dataclass(frozen=True, slots=True)
class Selection:
    """What was selected for a cell, after seeing what, and which trials repeat it."""

    cell: Cell
    config_id: str
    repeats: tuple[str, ...]
    split: str
    metric: str
    configs: int
    seeds: int
    incomplete: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Evidence:
    """A ledger, read for tables: trials by id, the last selection of each cell, and what else a table is said to be of.

    `planned` names cells that may have no line in the ledger yet; its order is that of methods which the paper's tables
    lack. `sha256` is that of the ledger's bytes, empty when it did not come from a file.
    """

    run: str
    trials: Mapping[str, Trial]
    selections: Mapping[Cell, Selection]
    planned: tuple[Cell, ...] = ()
    sha256: str = ""


class SplitLine(msgspec.Struct, frozen=True, gc=False):
    """What a trial's line in the ledger has of a split at one alpha."""

    split: str
    role: str
    primary: str
    metrics: dict[str, float]


class _AlphaLine(msgspec.Struct, frozen=True, gc=False):
    alpha: float | None
    splits: msgspec.Raw  # most alphas are of no interest


class _SearchLine(msgspec.Struct, frozen=True, tag_field="kind", tag="trial"):
    """The fields of a trial but for its evaluations, which are skipped."""

    trial_id: str
    cell: Cell
    stage: Literal["search", "repeat"]
    seed: int
    config_id: str
    status: Literal["done", "stopped", "failed"]
    reason: str | None = None
    settings: msgspec.Raw = msgspec.Raw(b"{}")
    versions: msgspec.Raw = msgspec.Raw(b"{}")


class _TrialLine(_SearchLine, frozen=True, tag_field="kind", tag="trial", kw_only=True):
    evaluations: list[_AlphaLine]
    alpha: float | None = None


class _SelectionLine(msgspec.Struct, frozen=True, tag_field="kind", tag="selection"):
    cell: Cell
    config_id: str
    repeats: tuple[str, ...]
    split: str | None = None
    metric: str | None = None
    configs: int | None = None
    seeds: int | None = None
    incomplete: dict[str, dict[str, int]] = {}


_SHOWN = ("id_test", "ood")
_SEARCH_MARK = b'"stage":"search"'
_MARKED_WITHIN = 1000  # bytes; where the mark is not found the line is decoded in full
_SEARCH_DECODER = msgspec.json.Decoder(_SearchLine | _SelectionLine)
_DECODER = msgspec.json.Decoder(_TrialLine | _SelectionLine)
_SPLITS = msgspec.json.Decoder(list[SplitLine])


def read_evidence(path: str | Path, run: str, planned: Iterable[Cell] = ()) -> Evidence:
    """The evidence of the ledger at `path`, none where there is no file; errors as in `ledger.file.read_lines`."""
    path = Path(path)
    size = path.stat().st_size if path.exists() else 0
    with ThreadPoolExecutor(1) as pool:  # hashing lets go of the interpreter: it costs a second core, not time
        digest = pool.submit(_sha256, path, size)
        lines = read_lines(path, _decode, size)
        return _evidence(lines, run, planned, digest.result())


def evidence_of(records: Iterable[Record], run: str = "run", planned: Iterable[Cell] = ()) -> Evidence:
    """The evidence of records that are in memory. Raises InputError for what is no ledger record."""
    lines = []
    for record in records:
        try:
            line = _decode(msgspec.json.encode(record))
        except Malformed as problem:
            raise InputError(f"the record {problem}; give records as `Ledger.load` does") from problem
        lines += [line.content] if line else []
    return _evidence(lines, run, planned, "")


def _evidence(lines: Iterable[Trial | Selection], run: str, planned: Iterable[Cell], sha256: str) -> Evidence:
    trials = {line.trial_id: line for line in lines if isinstance(line, Trial)}
    selections = {line.cell: line for line in lines if isinstance(line, Selection)}
    return Evidence(run, trials, selections, tuple(planned), sha256)


def _decode(line: bytes) -> Line[Trial | Selection] | None:
    """The trial or selection in `line`; a `results.ledger.file.Decoder`."""
    is_search = line.find(_SEARCH_MARK, 0, _MARKED_WITHIN) >= 0
    found = decode_typed(line, _SEARCH_DECODER if is_search else _DECODER)
    if isinstance(found, _SearchLine) and not isinstance(found, _TrialLine) and found.stage != "search":
        found = decode_typed(line, _DECODER)
    if found is None:
        return None
    if isinstance(found, _SelectionLine):
        return Line(None, "", _selection(found))
    try:
        return Line(found.trial_id, found.status, _trial(found))
    except msgspec.MsgspecError as error:
        raise Malformed(fault(decode_json(line) or {}) or f"is of another form ({error})") from error


def _selection(line: _SelectionLine) -> Selection:
    counts = line.configs or 0, line.seeds or 0
    return Selection(
        line.cell, line.config_id, line.repeats, line.split or "id_val", line.metric or "", *counts, line.incomplete
    )


def _trial(line: _SearchLine | _TrialLine) -> Trial:
    return Trial(
        line.trial_id,
        line.cell,
        line.stage,
        line.seed,
        line.config_id,
        line.status,
        line.reason,
        _shared(bytes(line.settings)),
        _shared(bytes(line.versions)),
        _numbers(line) if isinstance(line, _TrialLine) and line.stage == "repeat" else {},
    )


@lru_cache(maxsize=4096)
def _shared(raw: bytes) -> Mapping[str, Any]:
    """A small JSON object, one for all trials that have the same."""
    found = msgspec.json.decode(raw)
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=4096)
def _measure(split: str, role: str, metric: str) -> Measure:
    return Measure(split, role, metric)


def _numbers(trial: _TrialLine) -> dict[Side, Numbers]:
    """Per side the primary numbers of ID test and OOD. Raises Malformed when a split has two of them."""
    if trial.cell.method == ZEROSHOT:
        only = _numbers_at(0.0, trial)
        return {"without": only, "with": only}
    chosen = {} if trial.alpha is None else _numbers_at(trial.alpha, trial)
    if trial.cell.ensemble == LOGIT_ENSEMBLE:
        return {"without": {}, "with": chosen}
    return {"without": chosen if trial.alpha == 1.0 else _numbers_at(1.0, trial), "with": chosen}


def _numbers_at(alpha: float, trial: _TrialLine) -> Numbers:
    found = [one.splits for one in trial.evaluations if one.alpha == alpha]
    if not found:  # an alpha that was computed in another way, or null
        found = [one.splits for one in trial.evaluations if same_alpha(one.alpha or 0.0, alpha)]
    shown = [one for splits in found for one in _SPLITS.decode(splits) if one.role in _SHOWN]
    numbers = {_measure(one.split, one.role, one.primary): _primary(one) for one in shown}
    if len(numbers) < len(shown) or len({measure.split for measure in numbers}) < len(shown):
        split = Counter(one.split for one in shown).most_common(1)[0][0]
        raise Malformed(
            f"of trial {trial.trial_id} has two primary numbers for {split} at alpha {alpha:g}, expected one"
        )
    return numbers


def _primary(one: SplitLine) -> float:
    """The primary metric of an evaluation. Raises Malformed when it is not among its metrics."""
    if one.primary not in one.metrics:
        raise Malformed(f"has an evaluation with primary {one.primary!r}, expected one of its metrics")
    return one.metrics[one.primary]


def _sha256(path: Path, size: int) -> str:
    """The hash of the first `size` bytes of a file, in hexadecimal; empty for an empty one."""
    if not size:
        return ""
    digest, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left > 0 and (part := file.read(min(_HASHED_AT_ONCE, left))):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()
