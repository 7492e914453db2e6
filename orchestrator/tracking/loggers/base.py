"""What a logger is: where a sweep's curves and final numbers go, beside MLflow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import SearchSpace


@dataclass(frozen=True)
class LoggedSweep:
    """The sweep that a logger shows: the run folder's name and path, an identity of the run, and its search space."""

    name: str
    folder: Path
    identity: str
    space: SearchSpace


@dataclass(frozen=True)
class LoggedTrial:
    """A trial that a logger shows.

    `name` starts with what differs, e.g. `flyp lr=1e-3 wd=0.1 seed 2`; a repeat and a search trial may have the same
    one. `settings` are all that trials may be compared by: method, shots, seed, hyper-parameters and so on.
    """

    trial_id: str
    name: str
    method: str
    stage: str
    settings: Mapping[str, Any]


class FrontierPoint(NamedTuple):
    """A number of an interpolated model: the split and metric in `name`, 100 alpha, and the value."""

    name: str
    alpha_percent: int
    value: float


class TrialLog(ABC):
    """The log of one trial. Its methods are called in this order, `epoch` once for each epoch and upwards."""

    @abstractmethod
    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """The numbers after an epoch, from 1, e.g. `val/accuracy` and `train/loss`; 0 is the model before training."""

    @abstractmethod
    def end(self, status: str, metrics: Mapping[str, float], frontier: Sequence[FrontierPoint]) -> None:
        """The trial is `done`, `stopped` by the scheduler or `failed`; or it was `interrupted`, without final numbers.

        `metrics` are those of the best epoch: `score`, `id_test/accuracy`, `wiseft/ood/NAME/accuracy` and so on.
        """


class Logger(ABC):
    """A tracker by its `name` in the search space. It lives in the driver, in a thread of its own.

    The order of calls: `check` before anything starts; `begin`; `start` for each trial; `end`. No trial waits for a
    logger. What a logger raises goes to the log file of the run, and the sweep goes on.
    A trial that is taken up again, or runs again, is started again, and all its epochs come again. So `start` has to
    replace an earlier log of the same trial.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    package: ClassVar[str] = ""
    """The package that it needs and that flyp-sweep does not, by the name that is imported."""

    def check(self, space: SearchSpace) -> None:
        """Raise InputError, in one line, if the logger cannot work; by default, if its package is missing."""
        if self.package and find_spec(self.package) is None:
            where = space.where("loggers")
            raise InputError(
                f"{where}: loggers: {self.name} needs the package {self.package}, which is not installed; "
                f"run `pip install {self.package}` or `pip install 'flyp-sweep[{self.name}]'`"
            )

    def begin(self, sweep: LoggedSweep) -> None:
        """The sweep starts or is resumed."""
        self.sweep = sweep

    @abstractmethod
    def start(self, trial: LoggedTrial) -> TrialLog:
        """The log of a trial that starts."""

    def end(self, means: Mapping[str, float]) -> None:  # noqa: B027 - optional
        """The sweep ends or is interrupted; `means` are those of the table so far, e.g. `flyp/id_test/accuracy`."""
