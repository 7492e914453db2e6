"""A bench to test trials on: the shipped CLIP, loaded once, and a data set of a few dozen real digits in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from search_spaces.cell import Cell
from search_spaces.errors import InputError
from search_spaces.model import Model
from trainers import methods, models, trial
from trainers.datasets.base import Dataset, Split
from trainers.methods import lp
from trainers.models import Pretrained
from trainers.spec import REPEAT, SEARCH, TrialResult, TrialSpec
from trainers.task import Shared, Task
from trainers.training import Fitted

CPU = torch.device("cpu")
VALUES = {"lr": 3e-3, "weight_decay": 0.1, "l2sp_strength": 0.01, "l2": 1e-3}
ROWS = {"train": (0, 8), "id_val": (8, 17), "id_test": (17, 24), "inverted": (24, 31), "faint": (24, 31)}
"""Split -> which of a class's images are in it."""


@dataclass(frozen=True)
class Pictures:
    """RGB images from memory: `pixels` is uint8 [N, 32, 32, 3]."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int, /) -> Image.Image:
        return Image.fromarray(self.pixels[index])


class Tiny(Dataset):
    """Zeros, ones and twos of the UCI digits; two kinds of OOD.

    `closed` splits raise when they are loaded; the labels of `poisoned` ones are permuted.
    """

    name = "tiny"
    class_names = ("zero", "one", "two")
    templates = ("a photo of a {}.", "a photo of the handwritten digit {}.", 'the digit "{}".', "{}")

    def __init__(self, own_id_val: bool = True, closed: tuple[str, ...] = (), poisoned: tuple[str, ...] = ()) -> None:
        super().__init__(Path("nowhere"))
        self.closed, self.poisoned = closed, poisoned
        self.splits = {"train": "train"} | ({"id_val": "id_val"} if own_id_val else {})
        self.splits |= {"id_test": "id_test", "inverted": "ood", "faint": "ood"}

    def load(self, split: str) -> Split:
        if split in self.closed:
            raise InputError(f"{split} was opened")
        ink, digits = load_digits(return_X_y=True)
        rows = np.concatenate([np.flatnonzero(digits == label)[slice(*ROWS[split])] for label in range(3)])
        rows = rows[np.random.default_rng(1).permutation(len(rows))]
        grey = (ink[rows].reshape(-1, 8, 8) * (15 if split != "faint" else 4)).astype(np.uint8)
        grey = grey if split == "inverted" else 255 - grey
        labels = digits[rows].astype(np.int64)
        if split in self.poisoned:
            labels = (labels + 1) % 3
        pixels = np.repeat(np.kron(grey, np.ones((1, 4, 4), np.uint8))[..., None], 3, axis=3)
        return Split(split, self.splits[split], Pictures(pixels), labels)


class Bench:
    """Makes specifications, workers and tasks, and runs them."""

    def __init__(self, pretrained: Pretrained) -> None:
        self.pretrained = pretrained

    def dataset(self, **kinds: Any) -> Tiny:
        return Tiny(**kinds)

    def spec(self, method: str = "ft", *, stage: str = SEARCH, shots: int | None = None, **changes: Any) -> TrialSpec:
        wanted = methods.get(method).hparams if method in methods.registry() else ("lr", "weight_decay")
        given: dict[str, Any] = {
            "seed": 0,
            "hparams": {name: VALUES.get(name, 0.01) for name in wanted},
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
        return TrialSpec(cell=Cell("tiny", "digits-clip", shots, method), stage=stage, **given | changes)

    def repeat(self, method: str = "ft", **changes: Any) -> TrialSpec:
        return self.spec(method, stage=REPEAT, **changes)

    def worker(self, dataset: Dataset | None = None, threads: int = 1, pretrained: Pretrained | None = None) -> Shared:
        return Shared(pretrained or self.pretrained, dataset or Tiny(), CPU, threads)

    def task(self, spec: TrialSpec | None = None, worker: Shared | None = None) -> Task:
        return Task(worker or self.worker(), spec or self.spec())

    def run(self, spec: TrialSpec, worker: Shared | None = None) -> TrialResult:
        """The result of a trial of a registered method, in a fresh worker when none is given."""
        return finish(trial.run(methods.get(spec.cell.method), self.task(spec, worker)))

    def fit(self, spec: TrialSpec, worker: Shared | None = None, method: methods.Method | None = None) -> Fitted:
        """The best epoch of a trial, with its weights."""
        return finish((method or methods.get(spec.cell.method)).fit(self.task(spec, worker)))

    def primary(self, result: TrialResult, alpha: float) -> dict[str, float]:
        """Split -> primary metric at `alpha`."""
        return {line.split: line.metrics[line.primary] for line in result.evaluations if line.alpha == alpha}

    def same(self, first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
        """Whether two state dicts have the same names and the same bits."""
        return first.keys() == second.keys() and all(
            first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first
        )


def finish(running: Any) -> Any:
    """What a generator returns at its end."""
    while True:
        try:
            next(running)
        except StopIteration as end:
            return end.value


def random_clip(kind: type = open_clip.CLIP, image: Any = 16, vision: Any = None, **text: Any) -> Any:
    """A CLIP of a few thousand parameters (besides the vocabulary) with random weights, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        clip = kind(
            embed_dim=12,
            vision_cfg={
                "image_size": image,
                "patch_size": 8,
                "width": 16,
                "head_width": 8,
                "layers": 1,
                **(vision or {}),
            },
            text_cfg={"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2, **text},
        )
        for parameter in clip.parameters():
            if parameter.ndim and parameter.shape[0] < 1000:  # livelier than initial weights, so that attention matters
                parameter.data.add_(0.3 * torch.randn_like(parameter))
    return clip.double().eval()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pretrained() -> Pretrained:
    """The shipped CLIP, shared by all tests: none may change it."""
    return models.load(Model(arch="digits-clip", pretrained="bundled"), CPU)


@pytest.fixture
def bench(pretrained: Pretrained) -> Bench:
    return Bench(pretrained)


@pytest.fixture(scope="session")
def make_clip() -> Any:
    return random_clip


@pytest.fixture(autouse=True)
def _few_probes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """LP-FT solves three quick probes in place of all `STRENGTHS`, but where probes themselves are tested."""
    if "test_linear_probing" not in request.node.nodeid:
        monkeypatch.setattr(lp, "STRENGTHS", (1e-1, 1e-2, 1e-3))
