"""RandAugment: torchvision's pixels for the same draws, and draws of the trial's own stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandAugment

from flyp_sweep.trainers.data.images import Augmentation, Loader
from flyp_sweep.trainers.data.randaugment import ALL, OPERATIONS, changed, drawn
from flyp_sweep.trainers.testing.bench import CPU, Bench

UNSIGNED = {0, 10, 11, 12, 13}
"""The operations without a direction, for which torchvision draws none."""


def picture(seed: int) -> Image.Image:
    rough = np.random.default_rng(seed).integers(256, size=(9, 7, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((61, 47), Image.Resampling.BICUBIC)


def test_the_pixels_are_those_of_torchvision() -> None:
    seen = set()
    for seed in range(150):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            operations = []
            for _ in range(OPERATIONS):
                index = int(torch.randint(len(ALL), (1,)))
                operations.append((index, 0 if index in UNSIGNED else int(torch.randint(2, (1,)))))
            torch.manual_seed(seed)
            expected = RandAugment()(picture(seed))
        assert changed(picture(seed), operations).tobytes() == expected.tobytes(), operations
        seen |= set(operations)
    assert len(seen) == 2 * len(ALL) - len(UNSIGNED), "every operation in each direction"


def test_all_operations_and_directions_are_drawn_evenly() -> None:
    found = drawn(14_000, np.random.default_rng(0)).reshape(-1, 2)
    counts = np.bincount(found[:, 0] * 2 + found[:, 1], minlength=28)
    assert len(counts) == 28
    assert abs(counts - 1000).max() < 150


@pytest.mark.parametrize("crop_scale", [None, (0.9, 1.0)])
def test_its_views_do_not_depend_on_threads_and_crops_stay_as_they_are(
    bench: Bench, crop_scale: tuple[float, float] | None
) -> None:
    images, order = [picture(seed) for seed in range(12)], np.arange(12)
    plain = Augmentation(crop_scale, flip=True)

    def views(augmentation: Augmentation, threads: int = 1) -> torch.Tensor:
        loader = Loader(bench.pretrained.preprocess, CPU, threads)
        return torch.cat(list(loader.training_batches(images, [order], np.random.default_rng(5), augmentation)))

    found = views(replace(plain, randaugment=True))
    assert torch.equal(views(replace(plain, randaugment=True), threads=3), found)
    operations = drawn_after(plain, len(images))
    images = [changed(image, one) for image, one in zip(images, operations.tolist(), strict=True)]
    assert torch.equal(views(plain), found)


def drawn_after(augmentation: Augmentation, images: int) -> np.ndarray:
    """What RandAugment draws, after the crops and the mirroring."""
    rng = np.random.default_rng(5)
    rng.random((images, 10, 4))
    if augmentation.flip:
        rng.random(images)
    return drawn(images, rng)


def test_without_augmentation_views_are_those_of_the_evaluation(bench: Bench) -> None:
    images, order = [picture(seed) for seed in range(6)], np.arange(6)
    loader = Loader(bench.pretrained.preprocess, CPU)
    (found,) = loader.training_batches(images, [order], np.random.default_rng(5), Augmentation(None))
    (expected,) = loader.evaluation_batches(images, 6)
    assert torch.equal(found, expected)
