"""Weights & Biases: a run per trial, in a group per sweep. With `WANDB_MODE=offline` the files wait in `wandb/`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from netrc import NetrcParseError, netrc
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flyp_sweep.orchestrator.tracking.loggers.base import FrontierPoint, LoggedTrial, Logger, TrialLog
from flyp_sweep.orchestrator.tracking.numbers import FRONTIER
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import SearchSpace

if TYPE_CHECKING:
    import wandb

FOLDER = "wandb"
ALPHA = "alpha_percent"
"""The metric that is the x-axis of frontiers."""
WITHOUT_LOGIN = ("offline", "disabled", "dryrun")


class WeightsAndBiases(Logger):
    name = "wandb"
    summary = "Weights & Biases: a run per trial, in a group per sweep"
    package = "wandb"

    def check(self, space: SearchSpace) -> None:
        """Also raises InputError where W&B would ask for an API key: nobody may be there to answer."""
        super().check(space)
        import wandb

        settings = wandb.setup().settings
        if settings.mode in WITHOUT_LOGIN or settings.api_key or has_login(settings.base_url):
            return
        where = space.where("loggers")
        raise InputError(
            f"{where}: loggers: wandb found no API key for {settings.base_url}; run `wandb login`, "
            "or set WANDB_MODE=offline and upload the runs later with `wandb sync`"
        )

    def start(self, trial: LoggedTrial) -> TrialLog:
        run = self._run(trial.trial_id, trial.name, trial.stage, [trial.method], trial.settings)
        run.define_metric(f"{FRONTIER}/*", step_metric=ALPHA)
        return Run(run)

    def end(self, means: Mapping[str, float]) -> None:
        """The means are a run of their own, whose summary is a row of W&B's table of runs."""
        run = self._run("means", f"{self.sweep.name} means", "sweep", [], {})
        run.summary.update(dict(means))
        run.finish()

    def _run(self, name: str, title: str, kind: str, tags: list[str], config: Mapping[str, Any]) -> wandb.Run:
        """A new run; one of the same trial is resumed on the server, and replaced in a folder that waits for upload."""
        import wandb

        run_id = f"{self.sweep.identity[:8]}-{name}"
        for path in (self.sweep.folder / FOLDER).glob(f"offline-run-*-{run_id}"):
            shutil.rmtree(path, ignore_errors=True)
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or self.sweep.space.name,
            group=self.sweep.name,
            job_type=kind,
            id=run_id,
            name=title,
            tags=tags,
            config=dict(config),
            dir=str(self.sweep.folder),
            resume="allow",
            reinit="create_new",  # trials run side by side
            settings=wandb.Settings(silent=True, console="off"),
        )


class Run(TrialLog):
    """The run of one trial."""

    def __init__(self, run: wandb.Run) -> None:
        self.run = run
        self.first = run.step
        """Earlier epochs are on the server: W&B takes steps upwards alone."""

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        if number >= self.first:
            self.run.log(dict(metrics), step=number)

    def end(self, status: str, metrics: Mapping[str, float], frontier: Sequence[FrontierPoint]) -> None:
        for name, percent, value in frontier:
            self.run.log({ALPHA: percent, name: value})
        self.run.summary.update({**metrics, "status": status})
        self.run.finish(exit_code=0 if status in ("done", "stopped") else 1)


def has_login(url: str) -> bool:
    """Whether `wandb login` has left a key for the server at `url`."""
    try:
        return netrc(os.environ.get("NETRC")).authenticators(urlsplit(url).hostname or "") is not None
    except (OSError, NetrcParseError):
        return False
