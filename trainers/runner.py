"""Runs the trials of one search space, keeping model and data warm between them."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import torch

from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers import datasets, ensembles, methods, trial
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint, Policy
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.checkpoints.prediction_files import PredictionFiles
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.inspection import skip_unreadable
from flyp_sweep.trainers.datasets import added
from flyp_sweep.trainers.distributed import ALONE, Ranks
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.models.pretrained import load
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.spec import Epoch, TrialResult, TrialSpec
from flyp_sweep.trainers.task import Task


class TrialRunner:
    """Runs `TrialSpec`s of `space` one after the other in this process.

    - `data_root`: the folder of the data sets.
    - `threads`: number of threads that decode images and run torch's CPU kernels.
    - `cache`: keeps on disk what is computed once per machine (None: computed once per process).
    - `ranks`: processes that run the same trials together and get the same results.
    - `weights`: where the run keeps its fits (None: nowhere, and ensembles retrain their members).
    - `predictions`: where the predictions of repeats are written (None: nowhere).

    From a notebook:

        runner = TrialRunner(load("quickstart"), Path("data"))
        result = runner.result(spec)
    """

    def __init__(
        self,
        space: SearchSpace,
        data_root: Path,
        device: torch.device | None = None,
        threads: int = 1,
        cache: Cache | None = None,
        ranks: Ranks = ALONE,
        weights: Policy | None = None,
        predictions: PredictionFiles | None = None,
    ) -> None:
        self.space = space
        self.data_root = data_root
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.threads = threads
        self.cache = cache
        self.ranks = ranks
        self.kept = KeptFits(space, weights, ensembles.soups(space)) if weights else None
        self.prediction_files = predictions
        self._shared: dict[tuple[str, str, str, bool], Shared] = {}

    def run(self, spec: TrialSpec, checkpoint: Checkpoint | None = None) -> Generator[Epoch, None, TrialResult]:
        """Yield a report per epoch and return the result. Resumes from `checkpoint`; saves to it when it is due.

        Raises TrialFailed, or InputError for unreadable data.
        """
        return trial.run(self._method_of(spec), self._task(spec, checkpoint))

    def models(self, spec: TrialSpec, checkpoint: Checkpoint | None = None) -> Generator[Epoch, None, AlphaCurve]:
        """The models of a repeat between zero-shot and fine-tuned. Retrains the repeat if the run has not kept its fit.

        Yields a report per epoch of such a training. Raises TrialFailed, or InputError for unreadable data.
        """
        return trial.models(self._method_of(spec), self._task(spec, checkpoint))

    def result(self, spec: TrialSpec) -> TrialResult:
        """Run `spec` to its end."""
        running = self.run(spec)
        while True:
            try:
                next(running)
            except StopIteration as end:
                return end.value

    def _method_of(self, spec: TrialSpec) -> Method:
        return methods.named(self.space, spec.cell.base.method)

    def _task(self, spec: TrialSpec, checkpoint: Checkpoint | None) -> Task:
        return Task(self._shared_of(spec), spec, checkpoint, self.ranks, self.kept, self.prediction_files)

    def _shared_of(self, spec: TrialSpec) -> Shared:
        cell = spec.cell
        key = cell.dataset, cell.model, spec.precision, spec.compile
        if key not in self._shared:
            pretrained = load(self.space.model_of(cell), self.device, spec.precision, spec.compile)
            dataset = datasets.make(self.space.dataset_of(cell), self.data_root, self.space.images.shown_as)
            for other in datasets.evaluated(self.space, self.data_root):
                added.extend(dataset, other)
            if self.space.images.unreadable == "skip":
                skip_unreadable(dataset, self.cache)
            self._shared[key] = Shared(pretrained, dataset, self.device, self.threads, self.cache)
        return self._shared[key]
