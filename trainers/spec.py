"""The two ends of a trial: what determines it, and what comes out of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any

from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.sections import EpochMetric
from flyp_sweep.search_spaces.training import Crops, Optimizer, Pairs, Precision

PROTOCOL_VERSION = 3
"""Raised when a change of this code changes results: old trials are then no longer taken for new ones."""

SEARCH, REPEAT = "search", "repeat"
"""The stages of a cell."""

DONE, STOPPED, FAILED = "done", "stopped", "failed"
"""How a trial ends: by itself, by its cell's scheduler, without a result."""

UNREADABLE = "unreadable"
"""How a trial ends whose data cannot be read: no outcome at all, so the ledger does not keep it."""

DIED = "died"
"""How a trial ends whose process died, or met an error that another one may not: it may be started again."""


_JSON = json.JSONEncoder(sort_keys=True, allow_nan=False)


def digest(value: object) -> str:
    """16 hex digits that identify a JSON value."""
    return _hashed(_JSON.encode(value))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TrialSpec:
    """All that determines the result of one training run, and what is evaluated with it.

    `alphas` is the WiSE-FT grid, empty in the search stage; `data` identifies what the training and the selection see,
    `weights` the pretrained model. `splits` holds the identity of every split that the trial reads; those of ID test
    and OOD belong to its evaluations, so `splits` is no part of the trial's own. `micro_batch` images are encoded at a
    time (None: the whole batch), in `precision`, and by compiled code with `compile`: all three decide how sums are
    rounded. `crops` says how training views are cut. `epoch_metric`, `patience` (None: all epochs are run) and
    `include_start` say which epoch is kept (see `search_spaces.EarlyStopping`); `grad_clip` is the largest norm of a
    gradient; `crop_scale` (None: the views of the evaluation), `flip` and `randaugment` are those of the training
    views; `label_smoothing` is that of the loss, `layer_decay` that of the learning rate. `ingredients` are the
    hyper-parameters of the searched trials that a soup is made of, best first; it has none of its own. Paths, hosts and
    worker counts are not in here: they do not change a result.
    """

    cell: Cell
    stage: str
    seed: int
    hparams: Mapping[str, Any]
    epochs: int
    batch_size: int
    warmup_steps: int
    templates: int | None
    patience: int | None
    alphas: tuple[float, ...]
    frontier: bool
    data: str
    weights: str
    micro_batch: int | None = None
    precision: Precision = "fp32"
    compile: bool = False
    crops: Crops = "exact"
    epoch_metric: EpochMetric = "accuracy"
    include_start: bool = False
    grad_clip: float | None = None
    optimizer: Optimizer = "adamw"
    crop_scale: tuple[float, float] | None = (0.9, 1.0)
    flip: bool = False
    pairs: Pairs = "images"
    label_smoothing: float = 0.0
    randaugment: bool = False
    layer_decay: float = 1.0
    ingredients: tuple[Mapping[str, Any], ...] = ()
    splits: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def trial_id(self) -> str:
        """Content hash of the whole specification."""
        return self.trial_ids([self.seed])[0]

    def trial_ids(self, seeds: Iterable[int]) -> list[str]:
        """The ids that this trial has with `seeds` in place of its own, without a specification for each."""
        after = [dict(self.hparams), self.alphas, self.frontier]
        after += [[dict(one) for one in self.ingredients]] if self.ingredients else []
        head = f'[{PROTOCOL_VERSION}, "{self._common}", "{self.stage}"'  # a list in JSON, up to the seed
        tail = _JSON.encode(after)[1:]
        return [_hashed(f"{head}, {seed}, {tail}") for seed in seeds]

    @cached_property
    def config_id(self) -> str:
        """Content hash of the configuration: all but stage, seed, and what is evaluated at the end.

        Nor is what a soup is made of: which trials of a search run to their end may differ between its seeds.
        """
        return digest([self._common, dict(self.hparams)])

    @property
    def _common(self) -> str:
        """Content hash of what all trials of a cell have in common."""
        return _digest_of(_common_values(self))

    @cached_property
    def members(self) -> tuple[TrialSpec, ...]:
        """The trials that an ensemble is made of, best first; none where it is no ensemble."""
        cell = self.cell.base
        if self.ingredients:
            own = replace(self, cell=cell, stage=SEARCH, alphas=(), frontier=False, ingredients=())
            return tuple(replace(own, hparams=one) for one in self.ingredients)
        return () if cell == self.cell else (replace(self, cell=cell),)

    @property
    def draws(self) -> str:
        """The stage whose random streams a trial draws from: a soup sees what the trials saw that it is made of."""
        return self.members[0].stage if self.members else self.stage

    def to_json(self) -> dict[str, Any]:
        told = {**asdict(self), "hparams": dict(self.hparams), "alphas": list(self.alphas), "splits": dict(self.splits)}
        ingredients = [dict(one) for one in told.pop("ingredients")]
        return {**told, "ingredients": ingredients} if ingredients else told

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialSpec:
        tuples = {
            name: tuple(data[name]) for name in ("alphas", "crop_scale", "ingredients") if data.get(name) is not None
        }
        return cls(**{**data, "cell": Cell.from_json(data["cell"]), **tuples})


_VARYING = {"stage", "seed", "hparams", "alphas", "frontier", "ingredients", "splits"}
_COMMON = tuple(one.name for one in fields(TrialSpec) if one.name not in _VARYING)
_common_values = attrgetter(*_COMMON)
_SINCE_LATER = (
    ("compile", False),
    ("crops", "exact"),
    ("epoch_metric", "accuracy"),
    ("include_start", False),
    ("grad_clip", None),
    ("optimizer", "adamw"),
    ("crop_scale", (0.9, 1.0)),
    ("flip", False),
    ("pairs", "images"),
    ("label_smoothing", 0.0),
    ("randaugment", False),
    ("layer_decay", 1.0),
)
"""Fields that came later, with what all trials did before: where they still do, their ids are as before."""


@lru_cache(maxsize=1024)  # a sweep has as many as it has cells, and 100,000 trials that ask
def _digest_of(values: tuple[Any, ...]) -> str:
    common = [one for one in zip(_COMMON, values, strict=True) if one not in _SINCE_LATER]
    return digest({name: value.to_json() if isinstance(value, Cell) else value for name, value in common})


@dataclass(frozen=True)
class Epoch:
    """The report after one epoch: its number from 1, the best score so far, and the curve up to here.

    `score` is the primary metric on `id_val`; nothing of another split is in here. `notes` are as in `TrialResult`.
    """

    epoch: int
    score: float
    loss: float
    best_epoch: int
    curve: list[dict[str, float]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """One split at one alpha: its `metrics` (fractions) and the name of its primary one."""

    alpha: float
    split: str
    role: str
    n_examples: int
    primary: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class TrialResult:
    """The outcome of a finished trial. `score` and `loss` are those of the best epoch on `id_val`.

    `notes` say, a sentence each, what was out of the ordinary and did not keep the trial from its result.
    """

    score: float
    loss: float
    metric: str
    best_epoch: int
    epochs: int
    alpha: float | None
    curve: list[dict[str, float]]
    evaluations: list[Evaluation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "evaluations": by_alpha(self.evaluations)}


def by_alpha(evaluations: Iterable[Evaluation]) -> list[dict[str, Any]]:
    """Evaluations as JSON, a list of `{"alpha": alpha, "splits": [...]}`: who needs one alpha skips the others."""
    found: dict[float, list[dict[str, Any]]] = {}
    for one in evaluations:
        said = asdict(one)
        found.setdefault(said.pop("alpha"), []).append(said)
    return [{"alpha": alpha, "splits": splits} for alpha, splits in found.items()]
