"""The trials that run now: a small JSON file for each, beside its checkpoint in `running/` of the run folder.

The driver alone writes these files, when a trial starts and after each epoch, and removes them when it ends. They are
for people and for `flyp-sweep status`; no result and no selection depends on them. A killed driver leaves files behind,
which the next one removes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import msgspec

from flyp_sweep.results.ledger.schema import Stage
from flyp_sweep.search_spaces.cell import Cell

SUFFIX = ".json"
SWEEP = "sweep.json"
"""The name of the file that tells of the whole sweep; no trial id is like it."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One epoch of a running trial, from 1; 0 is the model before training, where the search space includes it.

    `score` is the primary metric on `id_val` and `metrics` holds all metrics there, fractions; `loss` is the
    cross-entropy there in nats, `train_loss` the mean loss of the epoch's steps (None: the method has no steps).
    `seconds` is the time that the epoch took in this run, the start of the worker included in the first one (None: an
    earlier run trained it).
    """

    epoch: int
    score: float
    loss: float
    train_loss: float | None = None
    seconds: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial that a worker has taken up, and its epochs so far.

    `config` is the number of its configuration in the search of its cell, from 1, of `configs` at most (None: a
    repeat). `metric` is the primary metric on `id_val`. `planned_epochs` is the number of epochs that it trains at
    most; once early stopping ends the training, the number that it has trained. `started` is a UTC time in ISO form.
    `node` is the host of its worker (None: not known before the first epoch). `settings` are those of its ledger line.
    """

    trial_id: str
    cell: Cell
    stage: Stage
    seed: int
    hparams: Mapping[str, Any]
    config_id: str
    config: int | None = None
    configs: int | None = None
    metric: str
    planned_epochs: int
    started: str
    node: str | None = None
    epochs: tuple[EpochReport, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """The number of the last epoch; 0 before the first has ended."""
        return self.epochs[-1].epoch if self.epochs else 0

    @property
    def last(self) -> EpochReport | None:
        """The last epoch; None before the first has ended."""
        return self.epochs[-1] if self.epochs else None

    @property
    def is_trained(self) -> bool:
        """Whether no epoch is left: the trial is being evaluated."""
        return self.done >= self.planned_epochs

    @property
    def epoch_seconds(self) -> float | None:
        """The mean seconds of an epoch in this run; None before the first has ended.

        The first one pays for the start of the worker, so it counts only until there is another.
        """
        timed = [one.seconds for one in self.epochs if one.seconds is not None]
        return fmean(timed[1:] or timed) if timed else None

    @property
    def seconds_left(self) -> float | None:
        """The seconds that its epochs will still take after the last one; None before the first has ended."""
        each = self.epoch_seconds
        return None if each is None else each * (self.planned_epochs - self.done)


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell and the number of trials that it takes at most, in both stages."""

    cell: Cell
    trials: int


@dataclass(frozen=True, kw_only=True)
class RunningSweep:
    """What the driver knows of the whole sweep, at the UTC time `updated`.

    `seconds_left` is its estimate (None: no epoch has ended yet); with `at_least`, cells are missing in the estimate of
    which nothing is known yet.
    """

    started: str
    updated: str
    cells: tuple[PlannedCell, ...]
    seconds_left: float | None = None
    at_least: bool = False


def encode(what: RunningTrial | RunningSweep) -> str:
    """The text of a file."""
    return msgspec.json.encode(what).decode()


def read_running(folder: Path) -> list[RunningTrial]:
    """The running trials in the folder `running/` of a run, the longest-running first; none where there is no folder.

    A file that cannot be read is left out: its trial has just ended, or another version of flyp-sweep wrote it.
    """
    return sorted(_read_all(folder), key=lambda trial: (trial.started, trial.trial_id))


def read_sweep(folder: Path) -> RunningSweep | None:
    """What the driver tells of the whole sweep in `running/`; None where there is nothing that can be read."""
    return _read(folder / SWEEP, RunningSweep)


def _read_all(folder: Path) -> Iterator[RunningTrial]:
    for path in folder.glob(f"*{SUFFIX}"):
        if path.name != SWEEP and (found := _read(path, RunningTrial)):
            yield found


def _read(path: Path, kind: type[T]) -> T | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=kind)
    return None
