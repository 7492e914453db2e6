"""Looks at all data sets of a search space, or at one without a search space, as its loader and a model see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.plugin_path import find_plugins
from flyp_sweep.search_spaces.sections import Model
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.images import Augmentation
from flyp_sweep.trainers.data_checks import check_shots
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.models.preparation import preparation, usual
from flyp_sweep.trainers.overview.facts import DatasetOverview
from flyp_sweep.trainers.overview.make import Check, Shown, overview
from flyp_sweep.trainers.text_checks import check_prompts

Say = Callable[[str], None]


@dataclass(frozen=True)
class Looked:
    """What was seen: the `title` of the page, whose eyes it was seen with, in words, and the data sets."""

    title: str
    eyes: str
    others: str
    """What to know of the models that are not shown; empty where there are none."""
    datasets: Sequence[DatasetOverview]
    size: tuple[int, int]
    """Width and height of the pictures."""


def look_at_space(space: SearchSpace, root: Path, label: str | None, *, deep: bool, say: Say) -> Looked:
    """Look at the data sets of `space` and at those it evaluates on, with the model `label`, by default the first.

    Raises InputError for a label or a data set that is not known; what is wrong with data is in the overviews.
    """
    model = _model(space, label)
    find_plugins(space)
    train = space.train
    known = preparation(model)
    shown = Shown(
        view=known or usual(),
        augmentation=Augmentation(train.crop_scale, train.flips, train.augmentation == "randaugment"),
        batched=train.crops == "batched",
        templates=None if train.templates == "all" else train.templates,
        skips=space.images.unreadable == "skip",
    )
    found = [datasets.make(entry, root, space.images.shown_as) for entry in space.datasets]
    cache = Cache.of_machine()
    alone = space.model_copy(update={"model": model})
    seen = []
    for dataset in (*found, *datasets.evaluated(space, root)):
        checks: list[Check] = [partial(check_prompts, dataset, alone)]
        if dataset in found:
            checks.append(partial(check_shots, dataset, space))
        seen.append(overview(dataset, shown, cache, deep=deep, checks=checks, say=say))
    others = [one.label for one in space.models if one.label != model.label]
    told = f"`--model` shows the pictures of another model: {', '.join(others)}" if others else ""
    unknown = "" if known else "; its own are not in the cache of the hub, so these are OpenAI's"
    return Looked(space.name, f"{model.label}: {described(shown)}{unknown}", told, seen, shown.view.size[::-1])


def look_at(dataset: Dataset, *, deep: bool, say: Say) -> Looked:
    """Look at one data set, of which no model is known, as most models of OpenAI's do."""
    shown = Shown(usual())
    seen = overview(dataset, shown, Cache.of_machine(), deep=deep, say=say)
    eyes = f"no model: {described(shown)}, as OpenAI's models have"
    return Looked(dataset.name, eyes, "", [seen], shown.view.size[::-1])


def described(shown: Shown) -> str:
    """How images are prepared, in words."""
    height, width = shown.view.size
    how = {"shortest": "shortest side, centre", "longest": "longest side, padded", "squash": "squashed"}
    mode = str(shown.view.config["resize_mode"])
    return f"{width} x {height} pixels ({how.get(mode, mode)}, {shown.view.config['interpolation']})"


def _model(space: SearchSpace, label: str | None) -> Model:
    known = {model.label: model for model in space.models}
    if label is not None and label not in known:
        raise InputError(
            f"--model: found {label!r}; expected a model of {space.source}: {', '.join(known)}{nearest(label, known)}"
        )
    return space.models[0] if label is None else known[label]
