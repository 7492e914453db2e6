"""Images per second inside a trial, against a bare PyTorch loop of the same step, in one process and in turns.

The step is the method's own: its encoding and its loss, AdamW's update. One bare loop cuts its crops in line, as a
trial does; the other has its batches ready, so that nothing but the step is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import small_vit
import torch
from measuring import Options, Report, Row, alternate, main, profiled, scratch, seconds

from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers import datasets, methods
from flyp_sweep.trainers.data.images import CROP_TRIES, random_crop, stack
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.models import pretrained
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.grad_cache import Gradients
from flyp_sweep.trainers.training.loop import train_epoch

DIGITS = {"arch": "digits-clip", "pretrained": "bundled"}


def benchmark(options: Options) -> Report:
    rows, profiles = [], {}
    with scratch() as folder:
        vit = {"arch": small_vit.make(folder / "small-vit"), "name": "small-vit"}
        for model, method in ((DIGITS, "ft"), (DIGITS, "flyp"), (vit, "flyp")):
            trial = Trial(model, method, options.tiny)
            what = f"training throughput, {method}, {model.get('name', model['arch'])}"
            rows += compared(trial, what, options.runs)
            if options.profile:
                profiles[what] = profiled(trial.epoch)
    return Report(rows, profiles)


def compared(trial: Trial, what: str, runs: int) -> list[Row]:
    """The trial against both bare loops, after one epoch of each that does not count."""
    measures = (trial.epoch, trial.bare, trial.ready)
    for measure in measures:
        measure()
    found = alternate(runs, *(lambda measure=measure: trial.images / seconds(measure) for measure in measures))  # type: ignore[misc]
    rows = []
    for bare, kind in zip(found[1:], ("which crops in line", "whose batches are ready"), strict=True):
        share = found[0].over(bare)
        told = [one.told("images/s") for one in (found[0], bare)]
        rows.append(Row(what, told[0], f"{told[1]}, a bare loop {kind}", share.told("%", 100), runs, "one thread"))
    return rows


class Trial:
    """A trial of a method on the digits, and the loops that it is compared with."""

    def __init__(self, model: dict[str, str], method: str, tiny: bool) -> None:
        torch.set_num_threads(1)
        space = from_mapping(
            {
                "name": "throughput",
                "dataset": "digits",
                "shots": 2 if tiny else None,
                "model": model,
                "methods": [method],
                "train": {"batch_size": 100, "epochs": 1000, "warmup_steps": 10},
                "search": {"algorithm": "grid", "space": {"lr": 1e-5, "weight_decay": 0.1}},
            }
        )
        cell = plan(space, check(space, Path("absent")))[0]
        dataset = datasets.make("digits", Path("absent"))
        shared = Shared(pretrained.load(space.models[0], torch.device("cpu")), dataset, torch.device("cpu"))
        self.method = methods.get(method)
        self.task = Task(shared, cell.search_trial({"lr": 1e-5, "weight_decay": 0.1}, 0))
        self.images = len(self.task.train)
        self.model = self.method.start(self.task)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=0.1, fused=True)
        self.gradients = Gradients(self.method, self.model, self.task)
        self.pictures = [self.task.train.images[i] for i in range(self.images)]
        self.batches = list(self._cropped())

    def epoch(self) -> None:
        """An epoch as a trial runs it."""
        train_epoch(self.gradients, self.optimizer, self.task, 1)

    def bare(self) -> None:
        self._loop(self._cropped())

    def ready(self) -> None:
        self._loop(iter(self.batches))

    def _loop(self, batches: Iterator[Batch]) -> None:
        """The same step, and nothing else."""
        self.model.train()
        for batch in batches:
            self.optimizer.zero_grad()
            outputs = self.method.encode(self.model, self.method.inputs(batch, self.task), self.task)
            self.method.joint_loss(self.model, outputs, batch, self.task).backward()
            self.optimizer.step()

    def _cropped(self) -> Iterator[Batch]:
        """An epoch's batches, each cut when it is asked for."""
        rng, size = np.random.default_rng(0), self.task.spec.batch_size
        labels, preprocess = torch.from_numpy(self.task.train.labels), self.task.pretrained.preprocess
        order = rng.permutation(self.images)
        chances = rng.random((self.images, CROP_TRIES, 4)).tolist()
        for at in range(0, self.images, size):
            picked = order[at : at + size]
            views = [preprocess.crop(self.pictures[i], random_crop(*self.pictures[i].size, chances[i])) for i in picked]
            pixels = preprocess.to_batch(stack(views), self.task.device)
            yield Batch(pixels, labels[torch.from_numpy(picked)], rng)


if __name__ == "__main__":
    main(benchmark, __doc__)
