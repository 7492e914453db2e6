"""The two ends of a trial: what determines it, and what comes out of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from search_spaces.cell import Cell
from search_spaces.sections import Precision

PROTOCOL_VERSION = 2
"""Raised when a change of this code changes results: old trials are then no longer taken for new ones."""

SEARCH, REPEAT = "search", "repeat"
"""The stages of a cell."""

DONE, STOPPED, FAILED = "done", "stopped", "failed"
"""How a trial ends: by itself, by its cell's scheduler, without a result."""

UNREADABLE = "unreadable"
"""How a trial ends whose data cannot be read: no outcome at all, so the ledger does not keep it."""

DIED = "died"
"""How a trial ends whose process died, or met an error that another one may not: it may be started again."""


def digest(value: object) -> str:
    """16 hex digits that identify a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TrialSpec:
    """All that determines the result of one training run.

    `alphas` is the WiSE-FT grid, empty in the search stage; `data` and `weights` are the fingerprints of the data set
    and of the pretrained model. `micro_batch` images are encoded at a time (None: the whole batch), in `precision`:
    both decide how sums are rounded. Paths, hosts and worker counts are not in here: they do not change a result.
    """

    cell: Cell
    stage: str
    seed: int
    hparams: Mapping[str, Any]
    epochs: int
    batch_size: int
    warmup_steps: int
    templates: int | None
    patience: int
    alphas: tuple[float, ...]
    frontier: bool
    data: str
    weights: str
    micro_batch: int | None = None
    precision: Precision = "fp32"

    @cached_property
    def trial_id(self) -> str:
        """Content hash of the whole specification."""
        return digest([PROTOCOL_VERSION, self.to_json()])

    @cached_property
    def config_id(self) -> str:
        """Content hash of the configuration: all but stage, seed, and what is evaluated at the end."""
        varying = ("stage", "seed", "alphas", "frontier")
        return digest({name: value for name, value in self.to_json().items() if name not in varying})

    def to_json(self) -> dict[str, Any]:
        data = {**asdict(self), "hparams": dict(self.hparams), "alphas": list(self.alphas)}
        for name, default in (("micro_batch", None), ("precision", "fp32")):
            if data[name] == default:
                del data[name]  # so that trials without it keep the ids that they had before it existed
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialSpec:
        return cls(**{**data, "cell": Cell.from_json(data["cell"]), "alphas": tuple(data["alphas"])})


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
    """One metric of one split at one alpha; `value` is a fraction, `primary` marks the split's primary metric."""

    alpha: float
    split: str
    role: str
    metric: str
    value: float
    n_examples: int
    primary: bool


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
        return asdict(self)
