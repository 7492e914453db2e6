"""TensorBoard: event files in `tensorboard/` of the run folder, in a folder per trial."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyp_sweep.orchestrator.tracking.loggers.base import FrontierPoint, LoggedTrial, Logger, TrialLog

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
FLUSH_SECONDS = 5


class TensorBoard(Logger):
    name = "tensorboard"
    summary = "event files in tensorboard/ of the run folder"
    package = "tensorboard"

    def start(self, trial: LoggedTrial) -> TrialLog:
        """A folder of its own, so that TensorBoard shows the trial as a run; that of an earlier attempt goes."""
        name = f"{trial.name} {trial.trial_id[:6]}"  # two trials may have the same name
        path = self._folder / trial.stage / re.sub(r"[^\w.=+, -]", "-", name)
        shutil.rmtree(path, ignore_errors=True)
        return EventFiles(writer(path), trial.settings)

    def end(self, means: Mapping[str, float]) -> None:
        path = self._folder / "sweep"
        shutil.rmtree(path, ignore_errors=True)
        with writer(path) as events:
            for name, value in means.items():
                events.add_scalar(name, value, 0)

    @property
    def _folder(self) -> Path:
        return self.sweep.folder / FOLDER


class EventFiles(TrialLog):
    """The event files of one trial; its hyper-parameters are in TensorBoard's HParams."""

    def __init__(self, events: SummaryWriter, settings: Mapping[str, Any]) -> None:
        self.events = events
        self.settings = settings

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.events.add_scalar(name, value, number)

    def end(self, status: str, metrics: Mapping[str, float], frontier: Sequence[FrontierPoint]) -> None:
        settings = {name: plain(value) for name, value in {**self.settings, "status": status}.items()}
        self.events.add_hparams(settings, dict(metrics), run_name=".")  # in the trial's own folder
        for name, percent, value in frontier:
            self.events.add_scalar(name, value, percent)
        self.events.close()


def writer(path: Path) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(path), flush_secs=FLUSH_SECONDS)


def plain(value: object) -> bool | int | float | str:
    """A setting as HParams takes it."""
    return value if isinstance(value, bool | int | float | str) else str(value)
