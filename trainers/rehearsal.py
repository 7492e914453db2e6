"""A rehearsal before the sweep: one step of every method on every model, without weights and without data."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch
from PIL import Image

from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.distributions import IntRange, LogUniform, Uniform
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers import trial
from flyp_sweep.trainers.data.images import Preprocess
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods import FineTuned, named
from flyp_sweep.trainers.methods.base import GradientMethod, Method
from flyp_sweep.trainers.models import pretrained, text_sides
from flyp_sweep.trainers.models.pretrained import Pretrained
from flyp_sweep.trainers.models.without_values import META, WithoutValues
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.spec import SEARCH, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.grad_cache import Gradients

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.distributions import Distribution, Scalar
    from flyp_sweep.search_spaces.model import Model, SearchSpace
    from flyp_sweep.trainers.hyper_parameters import MethodFacts
    from flyp_sweep.trainers.models.pretrained import Clip
    from flyp_sweep.trainers.models.prompts import Tokenizer

CPU = torch.device("cpu")
MOST_PARAMETERS = 200_000_000
"""The largest model whose failed rehearsal is repeated with real values: it takes 3 GB with AdamW."""
NAMES = 8
"""Number of classes in a rehearsal: those with the longest names, which may exceed a model's context."""
IMAGES = 2
"""Images per split and per batch."""


class Few(Dataset):
    """Grey images of the classes with the longest names, with the longest caption if the data has captions."""

    name = "rehearsal"

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        super().__init__(Path())
        every = list(datasets)
        self.splits = {"train": "train", "id_val": "id_val"}
        self.class_names = longest({name for one in every for name in one.class_names}, NAMES)
        self.templates = longest({template for one in every for template in one.templates}, 1)
        self.captions = longest({text for one in every for text in captions_of(one)}, 1) * IMAGES or None

    def load(self, split: str) -> Split:
        images = [Image.new("RGB", (32, 32), "grey")] * IMAGES
        labels = np.arange(IMAGES, dtype=np.int64) % len(self.class_names)
        return Split(split, self.splits[split], images, labels, captions=self.captions)


def captions_of(dataset: Dataset) -> Sequence[str]:
    """The captions of the training images; empty if they have none."""
    train = dataset.named("train")
    return (dataset.split(train[0]).captions or ()) if train else ()


def longest(texts: Iterable[str], count: int) -> list[str]:
    """The `count` longest of `texts`."""
    return sorted(texts, key=lambda text: (-len(text), text))[:count]


def rehearse(space: SearchSpace, datasets: Iterable[Dataset], methods: Mapping[str, MethodFacts]) -> list[str]:
    """Run a one-step trial of every method on every model of `space`, with the largest searched hyper-parameters.

    Returns remarks for the user, one line each. Raises InputError for the first trial that fails, e.g. because of a
    missing package, absent tokenizer files, or shapes. Tensors have no values (see `WithoutValues`), so a trial takes a
    fraction of a second for any model size. If a trial may have failed for lack of values, it is repeated with values.
    """
    few, lines = Few(datasets), []
    for model in space.models:
        found = outline(model)
        if found is None:
            lines.append(f"{model.label}: not tried out beforehand, as only the hub has its architecture")
            continue
        shared = Shared(found, few, META)
        for name, kind in methods.items():
            method = named(space, name)
            if isinstance(method, FineTuned):
                continue  # its checkpoint is checked separately
            line = _tried(method, Task(shared, trial_spec(space, model, name, kind)), space, model)
            lines += [line] if line else []
    return lines


class Words:
    """Stands in for a tokenizer whose files are not downloaded yet: one token per word."""

    def __init__(self, context_length: int) -> None:
        self.context_length = context_length

    def __call__(self, texts: list[str], context_length: int | None = None, /) -> torch.Tensor:
        tokens = torch.zeros(len(texts), context_length or self.context_length, dtype=torch.int64)
        for row, text in zip(tokens, texts, strict=True):
            words = [1 + crc32(word.encode()) % 1000 for word in text.split()][: len(row)]
            row[: len(words)] = torch.tensor(words)
        return tokens


def outline(model: Model) -> Pretrained | None:
    """`model` without memory for its weights; None if only a hub knows its architecture."""
    clip = pretrained.skeleton(model)
    if clip is None:
        return None
    tokenizer = text_sides.tokenizer_of(model) or Words(text_sides.context_length(model))
    return of_clip(model, copy.deepcopy(clip), tokenizer)


def of_clip(model: Model, clip: Clip, tokenizer: Tokenizer) -> Pretrained:
    """`model` with the weights of `clip`, which may have no values."""
    return Pretrained(clip.eval(), tokenizer, Preprocess.of(clip), model.arch, "fp32")


def with_values(shared: Shared, model: Model) -> Shared:
    """The same shared data on the CPU, with a model of random weights."""
    real = of_clip(model, pretrained.without_weights(model.arch, CPU), shared.pretrained.tokenizer)
    return Shared(real, shared.dataset, CPU)


def trial_spec(space: SearchSpace, model: Model, name: str, kind: MethodFacts) -> TrialSpec:
    train = space.train
    return TrialSpec(
        cell=Cell("rehearsal", model.label, None, name),
        stage=SEARCH,
        seed=0,
        hparams={hparam: _largest(values) for hparam, values in kind.searched.items()},
        epochs=1,
        batch_size=IMAGES,
        warmup_steps=0,
        templates=None,
        patience=None,
        alphas=(),
        frontier=False,
        data="",
        weights="",
        grad_clip=train.grad_clip_of(name),
        optimizer=train.optimizer,
        crops=train.crops,
        crop_scale=train.crop_scale,
        flip=train.flips,
        randaugment=train.augmentation == "randaugment",
        label_smoothing=train.label_smoothing if kind.smooths_labels else 0.0,
        layer_decay=train.layer_decay if kind.decays_layers else 1.0,
        pairs=train.pairs,
    )


def _largest(values: Distribution) -> Scalar:
    """The largest value, because it is the likeliest to exceed a model's limits; of words the last one."""
    if isinstance(values, IntRange | Uniform | LogUniform):
        return values.high
    found = values.values()
    numbers = [one for one in found if not isinstance(one, str)]
    return max(numbers) if len(numbers) == len(found) else found[-1]


def _tried(method: Method, task: Task, space: SearchSpace, model: Model) -> str | None:
    """A remark if it is unknown whether the trial would work; None: it works. Raises InputError if it fails."""
    told = WithoutValues()
    with told:
        error = failure(method, task, space)
    if error is None:
        return None
    doubtful = told.guessed or isinstance(error, NotImplementedError) or "meta" in str(error)
    if (pretrained.parameter_count(model) or 0) <= MOST_PARAMETERS:
        error = failure(method, replace(task, shared=with_values(task.shared, model)), space)
    elif doubtful:
        return f"{method.name} on {model.label}: not tried out beforehand, as a trial needs values ({_said(error)})"
    if error is None:
        return None
    raise InputError(
        f"methods: {method.name} fails on {model.label} ({_said(error)}); expected a method that can train this "
        "model: leave out one of the two"
    ) from error


def failure(method: Method, task: Task, space: SearchSpace) -> Exception | None:
    """The error that a trial ends with; None if it completes."""
    try:
        with torch.random.fork_rng(devices=[]):
            if isinstance(method, GradientMethod):
                _check_divisible(method, task, space)
            for _ in trial.run(method, task):
                pass
    except Exception as error:  # a method's own code may raise anything
        return error
    return None


def _check_divisible(method: GradientMethod, task: Task, space: SearchSpace) -> None:
    """Raise InputError if the settings divide batches and the model that `method` trains needs whole batches."""
    processes = 1 if space.resources is None else space.resources.world
    if space.train.micro_batch is None and processes == 1:
        return
    if obstacle := Gradients(method, method.start(task).train(), task).obstacle:
        found = f"train.micro_batch: found {space.train.micro_batch}; expected nothing"
        if space.train.micro_batch is None:
            found = f"resources.processes: found {processes}; expected 1"
        raise InputError(f"{found}, for {obstacle}")


def _said(error: Exception) -> str:
    text = one_line(" ".join(str(error).split()))[:200]
    return text if isinstance(error, InputError | TrialFailed) else f"{type(error).__name__}: {text}"
