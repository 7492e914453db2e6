"""Pixels on their way to the network, against torchvision and open_clip."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional
from trees import Counted

from flyp_sweep.trainers.data.images import (
    CROP_RATIO,
    CROP_SCALE,
    CROP_TRIES,
    Loader,
    Preprocess,
    Remembered,
    random_crop,
)
from flyp_sweep.trainers.testing.bench import Bench

CPU = torch.device("cpu")
SIZES = [(32, 32), (33, 47), (101, 37), (224, 300), (7, 5), (500, 375)]
"""Widths and heights."""

LONG = (101, 37)
"""No crop of the allowed shapes fits: always the fallback."""

PREPROCESSING: list[dict[str, Any]] = [
    {"size": 32},
    {"size": (24, 40), "interpolation": "bilinear", "mean": (0.5, 0.4, 0.3), "std": (0.5, 0.6, 0.7)},
    {"size": 17, "resize_mode": "squash"},
    {"size": 40, "resize_mode": "longest", "fill_color": 127},
]


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng([width, height, seed])
    return Image.fromarray(rng.integers(256, size=(height, width, 3), dtype=np.uint8))


def tuned(clip: Any, config: dict[str, Any]) -> Preprocess:
    clip.visual.preprocess_cfg = vars(PreprocessCfg(**config))
    return Preprocess.of(clip)


@pytest.mark.parametrize("config", PREPROCESSING, ids=str)
def test_evaluation_pixels_equal_those_of_open_clip_bit_for_bit(make_clip: Any, config: dict[str, Any]) -> None:
    images = [picture(*size) for size in SIZES] + [picture(50, 40).convert("L"), picture(41, 60).convert("P")]
    loader = Loader(tuned(make_clip(), config), CPU)
    found = torch.cat([loader.to_device(batch) for batch in loader.evaluation_batches(images, 3)])
    theirs = image_transform_v2(PreprocessCfg(**config), is_train=False)
    expected = torch.stack([theirs(image) for image in images])
    assert found.dtype == torch.float32
    assert found.numpy().tobytes() == expected.numpy().tobytes()


@pytest.mark.parametrize("config", PREPROCESSING[:2], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_training_view_has_the_pixels_of_torchvision_s_resized_crop(
    make_clip: Any, config: dict[str, Any], size: tuple[int, int]
) -> None:
    preprocess, image = tuned(make_clip(), config), picture(*size)
    mode = functional.InterpolationMode(config.get("interpolation", "bicubic"))
    rng = np.random.default_rng(0)
    for _ in range(20):
        box = random_crop(*size, rng.random((CROP_TRIES, 4)).tolist())
        expected = functional.resized_crop(image, *box, size=list(preprocess.size), interpolation=mode)
        found = preprocess.crop(image, box)
        assert (found.mode, found.size) == ("RGB", preprocess.size[::-1])
        assert found.tobytes() == expected.tobytes()


def torchvision_box(image: Image.Image, numbers: Iterator[float], patch: pytest.MonkeyPatch) -> tuple[int, ...]:
    """The box of torchvision's own RandomResizedCrop when all its chance comes from `numbers`."""

    def uniform(self: torch.Tensor, low: Any, high: Any) -> torch.Tensor:
        return self.fill_(float(low) + next(numbers) * (float(high) - float(low)))

    with patch.context() as inside:
        inside.setattr(torch.Tensor, "uniform_", uniform)
        inside.setattr(
            torch, "randint", lambda low, high, size: torch.tensor([low + int(next(numbers) * (high - low))])
        )
        return transforms.RandomResizedCrop.get_params(image, list(CROP_SCALE), list(CROP_RATIO))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_boxes_are_those_that_torchvision_draws_from_the_same_numbers(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    image = picture(*size)
    tries = []
    for _ in range(50):
        uniforms = rng.random((CROP_TRIES, 4))
        found = random_crop(*size, uniforms.tolist())
        low, high = np.log(CROP_RATIO)
        numbers: list[float] = []
        for scale, ratio, top, left in uniforms:  # torchvision draws a place only once a shape fits
            area = size[0] * size[1] * (CROP_SCALE[0] + scale * (CROP_SCALE[1] - CROP_SCALE[0]))
            aspect = np.exp(low + ratio * (high - low))
            numbers += [scale, ratio]
            if round(np.sqrt(area * aspect)) <= size[0] and round(np.sqrt(area / aspect)) <= size[1]:
                numbers += [top, left]
                break
        tries.append(len(numbers))
        assert found == torchvision_box(image, iter(numbers), monkeypatch)
    assert len(set(tries)) > 1 or size == LONG  # rejections do happen


@pytest.mark.parametrize("size", [(400, 10), (10, 400), (1, 9), (1000, 300), (300, 1001)], ids=str)
def test_extreme_shapes_fall_back_as_in_torchvision(size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = transforms.RandomResizedCrop.get_params(picture(*size), list(CROP_SCALE), list(CROP_RATIO))
    assert random_crop(*size, np.random.default_rng(0).random((CROP_TRIES, 4)).tolist()) == expected
    assert random_crop(40, 36, []) == (0, 0, 36, 40), "the whole of an ordinary image"


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_training_batches_do_not_depend_on_the_number_of_threads(bench: Bench, threads: int) -> None:
    images = [picture(40 + i, 30 + 2 * i, seed=i) for i in range(23)]
    order = np.random.default_rng(0).permutation(23)
    batches = [order[at : at + 4] for at in range(0, 23, 4)]
    loader = Loader(bench.pretrained.preprocess, CPU, threads)
    pixels = loader.training_batches(images, batches, np.random.default_rng(5))
    found = torch.cat(list(map(loader.to_device, pixels)))
    chances = np.random.default_rng(5).random((23, CROP_TRIES, 4))
    statistics = (one.flatten().tolist() for one in (bench.pretrained.preprocess.mean, bench.pretrained.preprocess.std))
    to_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(*statistics)])
    for at, index in enumerate(order):
        box = random_crop(*images[index].size, chances[index].tolist())
        view = functional.resized_crop(
            images[index], *box, size=[32, 32], interpolation=transforms.InterpolationMode.BICUBIC
        )
        assert torch.equal(found[at], to_tensor(view))


def test_an_image_that_cannot_be_decoded_stops_the_batch_with_its_error(bench: Bench) -> None:
    class Broken(Counted):
        def __getitem__(self, index: int, /) -> Image.Image:
            if index == 3:
                raise OSError("image 3 is broken")
            return super().__getitem__(index)

    for threads in (1, 3):
        loader = Loader(bench.pretrained.preprocess, CPU, threads)
        with pytest.raises(OSError, match="image 3 is broken"):
            list(loader.evaluation_batches(Broken([picture(8, 8)] * 6), 2))


@pytest.mark.parametrize(
    ("sizes", "budget", "decoded"),
    [
        ([(20, 10)] * 4, 10**6, [0, 1, 2, 3]),
        ([(20, 10)] * 4, 3 * 3 * 20 * 10 + 599, [0, 1, 2, 3, 3]),
        ([(100, 100), (5, 5)], 100, [0, 1, 0]),
    ],
    ids=["room for all", "room for three", "a small one after a large one"],
)
def test_remembered_images_are_equal_and_decoded_once_if_there_is_room(
    sizes: list[tuple[int, int]], budget: int, decoded: list[int]
) -> None:
    plain = Counted([picture(*size, seed) for seed, size in enumerate(sizes)])
    remembered = Remembered(plain, budget=budget)
    for _ in range(2):
        for index in range(len(remembered)):
            assert remembered[np.int64(index)].tobytes() == plain.images[index].tobytes()  # type: ignore[index]
    assert plain.decoded == decoded
