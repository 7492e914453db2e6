"""What is kept for one worker is given to no other that would compute something else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.images import Preprocess
from flyp_sweep.trainers.datasets.base import Split, Subset
from flyp_sweep.trainers.datasets.digits import GreyImages
from flyp_sweep.trainers.models.pretrained import Pretrained
from flyp_sweep.trainers.task import Shared
from flyp_sweep.trainers.testing.bench import CPU, Tiny

SIZE = 20
"""Pixels; the model's images are larger, so these are resized."""


class Kept(Tiny):
    """The tiny data set with images that a cache can tell apart; `flipped` has every image upside down."""

    flipped = False

    def load(self, split: str) -> Split:
        loaded = super().load(split)
        grey = np.stack([np.asarray(image.convert("L").resize((SIZE, SIZE))) for image in loaded.images])
        return replace(loaded, images=GreyImages(grey[:, ::-1] if self.flipped else grey))


class Flipped(Kept):
    flipped = True


def other_weights(pretrained: Pretrained) -> Pretrained:
    clip = copy.deepcopy(pretrained.clip)
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(0.05 * torch.ones_like(parameter).cumsum(-1).cos() if parameter.ndim else 0.0)
    return replace(pretrained, clip=clip)


def other_resizing(pretrained: Pretrained) -> Pretrained:
    clip = copy.deepcopy(pretrained.clip)
    was = pretrained.preprocess.config
    clip.visual.preprocess_cfg = {
        **was,
        "interpolation": "bilinear" if was["interpolation"] == "bicubic" else "bicubic",
    }
    return replace(pretrained, preprocess=Preprocess.of(clip))


def computed(worker: Shared, templates: int | None) -> dict[str, torch.Tensor]:
    """All that a cache may keep of a worker's images and prompts."""
    split = worker.split("id_val")
    return {
        "features": worker.features(split),
        "pixels": torch.cat(list(worker.evaluation_batches(split))),
        "head": worker.zero_shot_head(templates),
    }


@pytest.mark.parametrize(
    ("differing", "change", "dataset", "templates"),
    [
        ({"features", "head"}, other_weights, Kept, None),
        ({"features", "pixels"}, other_resizing, Kept, None),
        ({"features", "pixels"}, None, Flipped, None),
        ({"head"}, None, Kept, 1),
    ],
    ids=["weights", "resizing", "images", "templates"],
)
def test_another_determinant_is_another_entry(
    pretrained: Pretrained,
    tmp_path: Path,
    differing: set[str],
    change: Callable[[Pretrained], Pretrained] | None,
    dataset: type[Kept],
    templates: int | None,
) -> None:
    cache = Cache(tmp_path, 10**9)
    first = computed(Shared(pretrained, Kept(), CPU, cache=cache), None)
    assert {entry.told[0] for entry in cache.entries()} == {"features", "pixels", "head"}
    model = change(pretrained) if change else pretrained
    plain = computed(Shared(model, dataset(), CPU), templates)
    found = computed(Shared(model, dataset(), CPU, cache=cache), templates)
    assert {name for name in first if not torch.equal(first[name], plain[name])} == differing
    for name, value in plain.items():
        assert torch.equal(found[name], value), name


def test_threads_and_device_are_determinants_of_the_last_bits(pretrained: Pretrained, tmp_path: Path) -> None:
    cache = Cache(tmp_path, 10**9)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            computed(Shared(pretrained, Kept(), CPU, cache=cache), None)
    finally:
        torch.set_num_threads(before)
    kinds = [entry.told[0] for entry in cache.entries()]
    assert sorted(kinds) == ["features", "features", "head", "head", "pixels"], "pixels do not depend on them"


def test_draws_from_one_split_have_features_of_their_own(pretrained: Pretrained) -> None:
    worker = Shared(pretrained, Kept(), CPU)
    whole = worker.split("train")
    features = worker.features(whole)
    for rows in (np.arange(5), np.arange(5, 10)):
        draw = replace(whole, images=Subset(whole.images, rows), labels=whole.labels[rows])
        torch.testing.assert_close(worker.features(draw), features[torch.from_numpy(rows)])
