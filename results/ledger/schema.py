"""What a line of the ledger holds, as it is written and as it is read: the one definition of its fields.

Which lines of a file count, and how they are appended, is in `results.ledger.file`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, NoReturn, get_args

import msgspec

from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.family import Family

Stage = Literal["search", "repeat"]
Status = Literal["done", "stopped", "failed"]
Number = int | float
"""As it is written: a whole number stays one."""

STAGES: tuple[Stage, ...] = get_args(Stage)

_ALPHA_TOLERANCE = 1e-9


class Malformed(ValueError):
    """A JSON object that is no ledger record: which field is wrong, and how."""


class SplitRecord(msgspec.Struct, frozen=True, gc=False):
    """A split at one alpha: its metrics by name (`results.metrics` says what they are), and the primary one's name."""

    split: str
    role: str
    n_examples: int
    primary: str
    metrics: dict[str, Number]

    def __post_init__(self) -> None:
        if self.primary not in self.metrics:
            raise ValueError(f"found primary metric {self.primary!r}, expected one of {', '.join(self.metrics)}")


class AlphaRecord(msgspec.Struct, frozen=True, gc=False):
    """All splits that were evaluated at one alpha; of the zero-shot model alpha may be null."""

    alpha: Number | None
    splits: list[SplitRecord]


class Measurement(NamedTuple):
    """One number of a trial; `is_primary`: the metric is the primary one of its split."""

    alpha: Number
    split: str
    role: str
    n_examples: int
    metric: str
    value: Number
    is_primary: bool


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="trial"):
    """A finished trial. The order of the fields is their order in the line.

    Other fields of a line are passed over: version 0.1.0 wrote `memory`, too.
    """

    trial_id: str
    cell: Cell
    stage: Stage
    seed: int
    hparams: dict[str, Any]
    config_id: str
    settings: dict[str, Any] = {}
    status: Status
    reason: str | None = None
    score: Number | None = None
    loss: Number | None = None
    metric: str | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    alpha: Number | None = None
    curve: list[dict[str, Number]] = []
    evaluations: list[AlphaRecord]
    notes: list[str] = []
    log: str | None = None
    seconds: Number = 0.0
    finished: str = ""
    versions: dict[str, str] = {}
    machine: dict[str, Any] | None = None

    @property
    def chosen_alpha(self) -> Number | None:
        """The WiSE-FT alpha that the trial chose on id_val: 0 for the zero-shot model, None where none was chosen."""
        return 0.0 if self.cell.method == ZEROSHOT else self.alpha

    @property
    def measurements(self) -> Iterator[Measurement]:
        """The numbers of the trial, in the order of the line."""
        for at in self.evaluations:
            for one in at.splits:
                for metric, value in one.metrics.items():
                    is_primary = metric == one.primary
                    yield Measurement(at.alpha or 0.0, one.split, one.role, one.n_examples, metric, value, is_primary)


class SelectionRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="selection"):
    """What was selected for a cell, after seeing what, and which trials repeat it.

    `label` is how the cell's method is printed; empty, in ledgers of earlier versions. `searched` and `repeats` are ids
    of trials. `space` holds the distribution of each searched hyper-parameter. `objective` is the loss of the model's
    pretraining, in words; empty, in ledgers of earlier versions.
    `evaluated` holds the identity of every ID test and OOD split whose numbers count for the cell, by name; empty, in
    ledgers of earlier versions, all of them do. `data` identifies what was trained and selected on. `incomplete` holds,
    for splits that lack images, how many were found, published, and left out as unreadable; `overlaps` the number of
    images that two roles share, where that was allowed; `near_duplicates` the number that they share in files of other
    bytes. `split_rules` say in words how splits were made and are scored, where that is a choice. `deterministic`:
    every seed would give the numbers of the one repeat. `family`: the cell's data set is one of several that an entry
    of the search space stands for.
    """

    cell: Cell
    label: str = ""
    config_id: str
    hparams: dict[str, Any]
    score: Number | None = None
    metric: str = ""
    split: str = "id_val"
    configs: int = 0
    seeds: int = 0
    searched: list[str] = []
    repeats: list[str]
    space: dict[str, Any] = {}
    objective: str = ""
    data: str = ""
    evaluated: dict[str, str] = {}
    incomplete: dict[str, dict[str, int]] = {}
    overlaps: dict[str, int] = {}
    split_rules: list[str] = []
    near_duplicates: dict[str, int] = {}
    deterministic: bool = False
    family: Family | None = None

    def counts(self, settings: Mapping[str, Any], split: str) -> bool:
        """Whether numbers on this ID test or OOD split count, of a trial of the cell that was made with `settings`.

        Those of a split that was taken out of the data set, or whose images have changed, do not.
        """
        own = settings.get("splits", {}).get(split)
        return not self.data or (own is not None and own == self.evaluated.get(split))


def is_mixture(cell: Cell, settings: Mapping[str, Any]) -> bool:
    """Whether a trial of `cell` is an ensemble of a repeat: two models, whose outputs are mixed.

    Soups are one model each, and name what they are made of.
    """
    return bool(cell.ensemble) and not settings.get("ingredients")


_UNLESS_EMPTY = (
    *("label", "objective", "data", "evaluated", "incomplete", "overlaps", "split_rules", "near_duplicates"),
    *("deterministic", "family"),
)
"""Fields that are not written where they are empty, or False."""


class SupersededRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="superseded"):
    """Finished trials, by id, that no longer match the search space or the data, and why: the sweep ran them again."""

    trials: list[str]
    because: list[str]


Record = TrialRecord | SelectionRecord
Line = Record | SupersededRecord

_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_SUPERSEDED = b'{"kind":"superseded"'


def encode(record: Line) -> bytes:
    """The line of `record`, with its newline.

    Raises ValueError for a record that could not be read back, NaN and infinities included, TypeError for a value that
    JSON cannot hold.
    """
    fields = msgspec.to_builtins(record, enc_hook=_as_builtin)
    fields = {name: value for name, value in fields.items() if value or name not in _UNLESS_EMPTY}
    line = json.dumps(fields, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    decode(line)
    return line


def decode_superseded(line: bytes) -> SupersededRecord | None:
    """The record in `line`, as `encode` writes it, if it is such a one."""
    found = decode(line) if line.startswith(_SUPERSEDED) else None
    return found if isinstance(found, SupersededRecord) else None


def decode(line: bytes) -> Line | None:
    """The record in `line`; None where the line is not the whole of a JSON object. Raises Malformed for another one."""
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        fields = decode_json(line)
    if fields is None:
        return None
    try:  # text may hold half a character, as file names that are no UTF-8 do
        return _DECODER.decode(json.dumps(fields, ensure_ascii=False).encode(errors="replace"))
    except msgspec.MsgspecError as error:
        raise Malformed(f"is malformed: {error}") from error


def decode_json(line: bytes) -> dict[str, Any] | None:
    """The JSON object in `line`, or None when there is none, or not the whole of one."""
    try:
        value = _LENIENT.decode(line.decode())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def same_alpha(a: float, b: float) -> bool:
    """Whether two alphas are the same point of a grid, whichever way they were computed."""
    return math.isclose(a, b, abs_tol=_ALPHA_TOLERANCE)


def _as_builtin(value: object) -> object:
    """A number or text of a subclass, e.g. of NumPy, as Python's own."""
    for builtin in (float, int, str):
        if isinstance(value, builtin):
            return builtin(value)
    raise TypeError(f"found {value!r} in a ledger record, expected what JSON can hold")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_LENIENT = json.JSONDecoder(parse_constant=_refuse_constant)
