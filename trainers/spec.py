"""A trial's specification, which determines its result, and the result itself."""

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
"""Raise it with any code change that changes results: the ledger then no longer reuses old trials."""

SEARCH, REPEAT = "search", "repeat"
"""The stages of a cell."""

DONE, STOPPED, FAILED = "done", "stopped", "failed"
"""How a trial ends: it completes, its cell's scheduler stops it, or it fails without a result."""

UNREADABLE = "unreadable"
"""How a trial with unreadable data ends: this is no outcome, so the ledger does not record it."""

DIED = "died"
"""How a trial ends if its process died, or on an error that may not recur: the run may start it again."""


_JSON = json.JSONEncoder(sort_keys=True, allow_nan=False)


def digest(value: object) -> str:
    """16 hex digits that identify a JSON value."""
    return _hashed(_JSON.encode(value))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TrialSpec:
    """Everything that determines the result of one training run, and what is evaluated with it.

    - `alphas`: the WiSE-FT grid, empty in the search stage.
    - `data`: identity of the data that training and selection read; `weights`: identity of the pretrained model.
    - `splits`: identity of every split that the trial reads. It is not part of the trial's id: the ids of evaluations
      cover ID test and OOD splits.
    - `micro_batch` images are encoded at a time (None: the whole batch), in `precision`, and by compiled code if
      `compile` is set. All three change how sums round.
    - `crops`, `crop_scale` (None: evaluation views), `flip`, `randaugment`: how training views are made.
    - `epoch_metric`, `patience` (None: run all epochs), `include_start`: which epoch is kept, see
      `search_spaces.EarlyStopping`.
    - `grad_clip`: the largest norm of a gradient. `label_smoothing` changes the loss, `layer_decay` the learning rates.
    - `ingredients`: the hyper-parameters of the search trials that a soup averages, best first. A soup has no
      hyper-parameters of its own.

    Paths, hosts and worker counts do not change a result, so they are absent.
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
        """The ids of this trial with each of `seeds` instead of its own, without building the specifications."""
        after = [dict(self.hparams), self.alphas, self.frontier]
        after += [[dict(one) for one in self.ingredients]] if self.ingredients else []
        head = f'[{PROTOCOL_VERSION}, "{self._common}", "{self.stage}"'  # the start of a JSON list, up to the seed
        tail = _JSON.encode(after)[1:]
        return [_hashed(f"{head}, {seed}, {tail}") for seed in seeds]

    @cached_property
    def config_id(self) -> str:
        """Content hash of the configuration: everything except the stage, the seed, and the final evaluations.

        It leaves out a soup's ingredients as well: seeds may differ in which search trials complete.
        """
        return digest([self._common, dict(self.hparams)])

    @property
    def _common(self) -> str:
        """Content hash of what all trials of a cell have in common."""
        return _digest_of(_common_values(self))

    @cached_property
    def members(self) -> tuple[TrialSpec, ...]:
        """The trials that an ensemble combines, best first; empty for other trials."""
        cell = self.cell.base
        if self.ingredients:
            own = replace(self, cell=cell, stage=SEARCH, alphas=(), frontier=False, ingredients=())
            return tuple(replace(own, hparams=one) for one in self.ingredients)
        return () if cell == self.cell else (replace(self, cell=cell),)

    @property
    def draws(self) -> str:
        """The stage whose random streams the trial draws from: a soup uses the data draws of its member trials."""
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
"""Fields added later, with the behaviour of all earlier trials. At these values they do not enter the ids."""


@lru_cache(maxsize=1024)  # a sweep has one entry per cell, and up to 100,000 trials that look it up
def _digest_of(values: tuple[Any, ...]) -> str:
    common = [one for one in zip(_COMMON, values, strict=True) if one not in _SINCE_LATER]
    return digest({name: value.to_json() if isinstance(value, Cell) else value for name, value in common})


@dataclass(frozen=True)
class Epoch:
    """The report after one epoch: its number from 1, the best score so far, and the curve so far.

    `score` is the primary metric on `id_val`. A report holds no numbers of other splits. `notes`: see `TrialResult`.
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

    `notes` are sentences about unusual events that did not fail the trial.
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
    """Evaluations as JSON, a list of `{"alpha": alpha, "splits": [...]}`: readers of one alpha can skip the others."""
    found: dict[float, list[dict[str, Any]]] = {}
    for one in evaluations:
        said = asdict(one)
        found.setdefault(said.pop("alpha"), []).append(said)
    return [{"alpha": alpha, "splits": splits} for alpha, splits in found.items()]
