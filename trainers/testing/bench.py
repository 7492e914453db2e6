"""A test bench for methods: the shipped CLIP, and a data set of a few dozen real digits in memory."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers import methods, trial
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.methods.base import Batch, GradientMethod, Method
from flyp_sweep.trainers.methods.portable import NotPortable
from flyp_sweep.trainers.models import pretrained
from flyp_sweep.trainers.models.pretrained import Pretrained
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.spec import REPEAT, SEARCH, TrialResult, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fit import fit
from flyp_sweep.trainers.training.fitted import Fitted

CPU = torch.device("cpu")
VALUES = {"lr": 1e-3, "weight_decay": 0.1, "l2sp_strength": 0.01, "l2": 1e-3, "prompt_depth": 1}
"""Default hyper-parameters of trials on the bench."""
ROWS = {"train": (0, 8), "id_val": (8, 17), "id_test": (17, 24)} | dict.fromkeys(("inverted", "faint", "new"), (24, 31))
"""Split -> the images of each class that it holds."""
REPORTED = ("id_test", "inverted", "faint")
"""The splits that must not influence any choice."""

NEW_CLASSES = ("three", "four")
CAPTIONS = ("somebody wrote", "a scan of the digit")
"""Beginnings of captions; the name of the class follows."""

T = TypeVar("T")


@dataclass(frozen=True)
class Pictures:
    """RGB images from memory: `pixels` is uint8 [N, 32, 32, 3]."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int, /) -> Image.Image:
        return Image.fromarray(self.pixels[index])


class Tiny(Dataset):
    """Zeros, ones and twos of the UCI digits, with two kinds of OOD.

    `closed` splits raise when they are loaded. `poisoned` splits have permuted labels. `opened` lists the loaded
    splits, in order. With `captioned`, every image has one of two captions of its class. With `new_classes` there is an
    OOD split of threes and fours.
    """

    name = "tiny"
    class_names = ("zero", "one", "two")
    templates = ("a photo of a {}.", "a photo of the handwritten digit {}.", 'the digit "{}".', "{}")

    def __init__(
        self,
        own_id_val: bool = True,
        closed: tuple[str, ...] = (),
        poisoned: tuple[str, ...] = (),
        captioned: bool = False,
        new_classes: bool = False,
    ) -> None:
        super().__init__(Path("nowhere"))
        self.closed, self.poisoned, self.captioned = closed, poisoned, captioned
        self.opened: list[str] = []
        self.splits = {"train": "train"} | ({"id_val": "id_val"} if own_id_val else {})
        self.splits |= {"id_test": "id_test", "inverted": "ood", "faint": "ood"}
        self.splits |= {"new": "ood"} if new_classes else {}

    def load(self, split: str) -> Split:
        if split in self.closed:
            raise InputError(f"{split} was opened")
        self.opened.append(split)
        ink, digits = handwriting()
        first, own = (3, NEW_CLASSES) if split == "new" else (0, self.class_names)
        classes = range(first, first + len(own))
        rows = np.concatenate([np.flatnonzero(digits == digit)[slice(*ROWS[split])] for digit in classes])
        rows = rows[np.random.default_rng(1).permutation(len(rows))]
        grey = (ink[rows].reshape(-1, 8, 8) * (15 if split != "faint" else 4)).astype(np.uint8)
        grey = grey if split == "inverted" else 255 - grey
        labels = digits[rows].astype(np.int64) - first
        if split in self.poisoned:
            labels = (labels + 1) % 3
        pixels = np.repeat(np.kron(grey, np.ones((1, 4, 4), np.uint8))[..., None], 3, axis=3)
        found = Split(split, self.splits[split], Pictures(pixels), labels)
        if self.captioned:
            captions = [f"{CAPTIONS[row % 2]} {own[label]}" for row, label in enumerate(labels)]
            found = replace(found, captions=captions)
        return replace(found, class_names=own, templates=self.templates) if split == "new" else found


@cache
def handwriting() -> tuple[np.ndarray, np.ndarray]:
    """Ink [N, 64] from 0 to 16, and the digit [N] of every image."""
    ink, digits = load_digits(return_X_y=True)
    return ink, digits


class Bench:
    """Makes specifications, workers and tasks, and runs them."""

    def __init__(self, pretrained: Pretrained) -> None:
        self.pretrained = pretrained

    def dataset(self, **kinds: Any) -> Tiny:
        return Tiny(**kinds)

    def spec(
        self, method: str | Method = "ft", *, stage: str = SEARCH, shots: int | None = None, **changes: Any
    ) -> TrialSpec:
        """A small and quick trial of a method, given as object or by its registered name, with `changes`."""
        name = method if isinstance(method, str) else method.name
        given: dict[str, Any] = {
            "seed": 0,
            "hparams": hyper_parameters(method),
            "epochs": 2,
            "batch_size": 10,
            "warmup_steps": 1,
            "templates": None,
            "patience": 5,
            "alphas": () if stage == SEARCH else (0.0, 0.5, 1.0),
            "frontier": False,
            "data": "data",
            "weights": "weights",
        }
        return TrialSpec(cell=Cell("tiny", "digits-clip", shots, name), stage=stage, **given | changes)

    def repeat(self, method: str | Method = "ft", **changes: Any) -> TrialSpec:
        return self.spec(method, stage=REPEAT, **changes)

    def worker(self, dataset: Dataset | None = None, threads: int = 1, pretrained: Pretrained | None = None) -> Shared:
        return Shared(pretrained or self.pretrained, dataset or Tiny(), CPU, threads)

    def task(
        self, spec: TrialSpec | None = None, worker: Shared | None = None, checkpoint: Checkpoint | None = None
    ) -> Task:
        return Task(worker or self.worker(), spec or self.spec(), checkpoint)

    def run(self, spec: TrialSpec, worker: Shared | None = None, method: Method | None = None) -> TrialResult:
        """The result of a trial, by default in a fresh worker and with the registered method."""
        return finish(trial.run(method or methods.get(spec.cell.method), self.task(spec, worker)))

    def fit(
        self,
        spec: TrialSpec,
        worker: Shared | None = None,
        method: Method | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Fitted:
        """The best epoch of a trial, with its weights."""
        return finish(fit(method or methods.get(spec.cell.method), self.task(spec, worker, checkpoint)))

    def refusal(self, method: Method, model: nn.Module, task: Task) -> str | None:
        """The message with which a method refuses to export a model for open_clip; None if it does not refuse."""
        try:
            method.portable(model, task)
        except NotPortable as error:
            return str(error)
        return None

    def primary(self, result: TrialResult, alpha: float) -> dict[str, float]:
        """Split -> primary metric at `alpha`."""
        return {line.split: line.metrics[line.primary] for line in result.evaluations if line.alpha == alpha}

    def same(self, first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> bool:
        """Whether two state dicts have the same names and the same bits."""
        return first.keys() == second.keys() and all(
            first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first
        )


def hyper_parameters(method: str | Method) -> dict[str, Any]:
    """A value for each hyper-parameter of a method, given as object or by its registered name."""
    if isinstance(method, str):
        if method not in methods.registry():
            return {name: VALUES[name] for name in ("lr", "weight_decay")}
        method = methods.get(method)
    return {
        name: VALUES.get(name, 0.01 if default is None else default.draw(random.Random(0)))  # noqa: S311
        for name, default in method.hparams.items()
    }


@cache
def shipped() -> Pretrained:
    """The shipped CLIP, shared by all tests: they must not change it."""
    return pretrained.load(Model(arch="digits-clip", pretrained="bundled"), CPU)


def finish(running: Generator[object, None, T]) -> T:
    """The return value of a generator."""
    while True:
        try:
            next(running)
        except StopIteration as end:
            return end.value


def global_streams() -> tuple[bytes, str, str]:
    """The states of the global generators of torch, numpy and Python."""
    return torch.get_rng_state().numpy().tobytes(), str(np.random.get_state()), str(random.getstate())


def without_dropout(model: nn.Module) -> nn.Module:
    """The model without dropout, which would draw anew for every micro-batch."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return model


def nudged(model: nn.Module) -> nn.Module:
    """The model slightly moved from its start, where a penalty may have no gradient."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1e-3 * torch.randn_like(parameter))
    return model


def a_batch(method: Method, task: Task) -> Batch:
    """The first ten training images, or their features; some share a class."""
    labels = torch.from_numpy(task.train.labels[:10])
    if isinstance(method, GradientMethod) and method.on_features:
        return Batch(task.shared.features(task.train)[:10], labels, np.random.default_rng(5))
    images = next(iter(task.shared.loader.evaluation_batches(task.train.images, 10)))
    return Batch(task.shared.loader.to_device(images), labels, np.random.default_rng(5))
