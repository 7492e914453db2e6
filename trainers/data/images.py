"""Images on their way to the network: CLIP's evaluation transform, and random resized crops for training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import nn

from flyp_sweep.trainers.data import randaugment
from flyp_sweep.trainers.datasets.base import Images

CROP_SCALE = (0.9, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
CROP_TRIES = 10

MEMORY_BUDGET = 256 * 2**20
"""Bytes of decoded images that a worker keeps per split. Images beyond it are decoded again each time."""

BATCHES_AHEAD = 2

ALL = slice(None)

Indices = Sequence[int] | np.ndarray

Crop = tuple[int, int, int, int]
"""top, left, height, width in pixels"""


@dataclass(frozen=True)
class Augmentation:
    """How training views are made: the area share of a crop (None: the evaluation view), random mirroring, and
    RandAugment before both."""

    crop_scale: tuple[float, float] | None = CROP_SCALE
    flip: bool = False
    randaugment: bool = False

    @property
    def of_evaluation(self) -> bool:
        """Whether each view is the evaluation view, or its mirror image."""
        return self.crop_scale is None and not self.randaugment


PAPER = Augmentation()


@dataclass(frozen=True)
class Preprocess:
    """The preprocessing of a CLIP model: `size` (height, width) in pixels, channel `mean` and `std` on [0, 1].

    `config` holds open_clip's settings, as JSON values."""

    size: tuple[int, int]
    mean: torch.Tensor
    std: torch.Tensor
    resample: Image.Resampling
    config: Mapping[str, Any]
    resize: Callable[[Image.Image], Image.Image]

    @classmethod
    def of(cls, clip: nn.Module) -> Preprocess:
        """The preprocessing that came with the weights of an open_clip model."""
        import open_clip  # takes seconds, which checks before a sweep should not wait for

        return cls.from_config(open_clip.get_model_preprocess_cfg(clip))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocess:
        """The preprocessing in an open_clip configuration."""
        import open_clip

        height, width = (config["size"],) * 2 if isinstance(config["size"], int) else config["size"]
        whole = open_clip.image_transform(
            (height, width),
            is_train=False,
            mean=config["mean"],
            std=config["std"],
            resize_mode=config["resize_mode"],
            interpolation=config["interpolation"],
            fill_color=config["fill_color"],
        )

        # All of open_clip's steps except the last two, to-tensor and normalise: `to_batch` applies those per batch.
        steps: list[Callable[[Image.Image], Image.Image]] = whole.transforms[:-2]

        def resize(image: Image.Image) -> Image.Image:
            for step in steps:
                image = step(image)
            return image

        bilinear = config["interpolation"] == "bilinear"
        return cls(
            size=(height, width),
            mean=torch.tensor(config["mean"]).view(3, 1, 1),
            std=torch.tensor(config["std"]).view(3, 1, 1),
            resample=Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC,
            config=config,
            resize=resize,
        )

    @property
    def geometry(self) -> dict[str, Any]:
        """The settings that determine a view's uint8 pixels, as JSON values. Mean and std are not among them."""
        told = {name: self.config[name] for name in ("interpolation", "resize_mode", "fill_color")}
        return {"size": list(self.size), **told}

    def crop(self, image: Image.Image, crop: Crop) -> Image.Image:
        """The training view of an image: its resized `crop`. The pixels equal those of torchvision's resized_crop."""
        top, left, height, width = crop
        view = image.crop((left, top, left + width, top + height)).resize(self.size[::-1], self.resample)
        return view if view.mode == "RGB" else view.convert("RGB")

    def crops(self, pixels: torch.Tensor, boxes: np.ndarray) -> torch.Tensor:
        """As `crop`, for a batch on its device: uint8 [B, height, width, 3] of images of the model's own size.

        `boxes` are int64 [B, 4]. A pixel may differ from `crop`'s by 1 if its sum is almost half-way between two
        values.
        """
        count, height, width, channels = pixels.shape
        top, left, h, w = torch.from_numpy(boxes).to(pixels.device, torch.float32).T
        bicubic = self.resample == Image.Resampling.BICUBIC
        rows, columns = enlarging(top, h, height, bicubic), enlarging(left, w, width, bicubic)
        wide = columns @ pixels.permute(0, 2, 1, 3).reshape(count, width, -1).float()
        wide = wide.add_(0.5).clamp_(0, 255).floor_().view(count, width, height, channels)
        views = rows @ wide.transpose(1, 2).reshape(count, height, -1)
        return views.add_(0.5).clamp_(0, 255).to(torch.uint8).view(pixels.shape)

    def to_batch(self, pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Normalised float32 [B, 3, height, width] on `device` from uint8 [B, height, width, 3]."""
        planes = pixels.to(device).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return planes.div_(255).sub_(self.mean.to(device)).div_(self.std.to(device))


def pixel_code() -> str:
    """The versions of the libraries that decode and resize images."""
    return f"pillow {PIL.__version__}, torchvision {version('torchvision')}, open_clip {version('open_clip_torch')}"


def stack(images: Sequence[Image.Image]) -> torch.Tensor:
    """uint8 [B, height, width, 3] of equally large RGB images."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))


class Remembered:
    """Images that are decoded once, within `budget` bytes; the pixels are those of `images`."""

    def __init__(self, images: Images, budget: int = MEMORY_BUDGET) -> None:
        self.images = images
        self._left = budget
        self._decoded: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> Image.Image:
        index = int(index)
        if index in self._decoded:
            return self._decoded[index]
        image = self.images[index]
        image.load()
        size = 3 * image.width * image.height
        if size <= self._left:
            self._left -= size
            self._decoded[index] = image
        return image


def random_crop(
    width: int, height: int, uniforms: Sequence[Sequence[float]], scales: tuple[float, float] = CROP_SCALE
) -> Crop:
    """A crop with an area share within `scales` and an aspect ratio within CROP_RATIO.

    The rejection rule is that of torchvision's RandomResizedCrop: CROP_TRIES tries, then the largest centred crop with
    an allowed ratio. All randomness comes from `uniforms`, [CROP_TRIES, 4] numbers in [0, 1).
    """
    low, high = math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])
    for scale, ratio, top, left in uniforms:
        area = width * height * (scales[0] + scale * (scales[1] - scales[0]))
        aspect = math.exp(low + ratio * (high - low))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(top * (height - h + 1)), int(left * (width - w + 1)), h, w
    w = min(width, round(height * CROP_RATIO[1]))
    h = min(height, round(width / CROP_RATIO[0]))
    return (height - h) // 2, (width - w) // 2, h, w


def random_crops(width: int, height: int, uniforms: np.ndarray, scales: tuple[float, float] = CROP_SCALE) -> np.ndarray:
    """`random_crop` for each of `uniforms`, float64 [B, CROP_TRIES, 4]: int64 [B, 4]."""
    low, high = math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])
    scale, ratio, top, left = np.moveaxis(uniforms, 2, 0)
    area = width * height * (scales[0] + scale * (scales[1] - scales[0]))
    aspect = np.exp(low + ratio * (high - low))
    w, h = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    tries = np.stack([top * (height - h + 1), left * (width - w + 1), h, w], axis=2).astype(np.int64)
    chosen = tries[np.arange(len(tries)), fits.argmax(axis=1)]
    chosen[~fits.any(axis=1)] = random_crop(width, height, [])
    return chosen


def enlarging(start: torch.Tensor, length: torch.Tensor, size: int, bicubic: bool) -> torch.Tensor:
    """Weights [B, size, size] of PIL's filter that resizes the `length` [B] pixels from `start` [B] on to `size`
    pixels.

    Row i holds the weights of the input pixels for output pixel i; `length` is at most `size`. Input pixels outside the
    crop get weight 0 instead of being left out, so a GPU's order of summation does not matter.
    """
    centres = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * (length / size)[:, None]
    pixels = (centres - 1.5).floor()[..., None] + torch.arange(4, device=start.device)
    x = (pixels + 0.5 - centres[..., None]).abs()
    if bicubic:
        weights = torch.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
    else:
        weights = (1 - x).clamp_(0)
    weights *= (pixels >= start[:, None, None]) & (pixels < (start + length)[:, None, None])
    weights /= weights.sum(dim=2, keepdim=True)
    matrices = torch.zeros(len(start), size, size, device=start.device)
    return matrices.scatter_add_(2, pixels.clamp_(0, size - 1).long(), weights)


class Loader:
    """Decodes batches of images, ahead of the network if there are spare threads.

    `threads` threads decode in parallel; a single thread decodes in the caller's. The order and the crops do not depend
    on `threads`.
    """

    def __init__(self, preprocess: Preprocess, device: torch.device, threads: int = 1) -> None:
        self.preprocess = preprocess
        self.device = device
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def evaluation_batches(self, images: Images, batch_size: int, turns: slice = ALL) -> Iterator[torch.Tensor]:
        """uint8 batches [B, H, W, 3] of all images in order, or those at `turns`, resized by `Preprocess.of`."""
        batches = [range(at, min(at + batch_size, len(images))) for at in range(0, len(images), batch_size)]
        return self.resized(images, batches[turns])

    def resized(self, images: Images, batches: Sequence[Indices]) -> Iterator[torch.Tensor]:
        """uint8 batches [B, H, W, 3] of the images at `batches`, resized by `Preprocess.of`."""
        return self._decode(batches, lambda i: self.preprocess.resize(images[i]))

    def training_batches(
        self,
        images: Images,
        batches: Sequence[Indices],
        rng: np.random.Generator,
        augmentation: Augmentation = PAPER,
    ) -> Iterator[torch.Tensor]:
        """uint8 batches [B, H, W, 3] of the images at `batches`, each augmented and cropped by its own draws from
        `rng`.

        This call makes all draws at once, whether or not the batches are then used.
        """
        chances = rng.random((len(images), CROP_TRIES, 4))
        mirrored = _mirrored(len(images), rng, augmentation)
        operations = randaugment.drawn(len(images), rng) if augmentation.randaugment else None

        def view(index: int) -> Image.Image:
            image = images[index]
            if operations is not None:
                image = randaugment.changed(image, operations[index].tolist())
            if augmentation.crop_scale is None:
                shown = self.preprocess.resize(image)
            else:
                crop = random_crop(*image.size, chances[index].tolist(), augmentation.crop_scale)
                shown = self.preprocess.crop(image, crop)
            return shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored[index] else shown

        return self._decode(batches, view)

    def crops(
        self,
        resized: Iterable[torch.Tensor],
        batches: Sequence[Indices],
        images: int,
        rng: np.random.Generator,
        augmentation: Augmentation = PAPER,
    ) -> Iterator[torch.Tensor]:
        """As `training_batches`, with the same draws from `rng` for `images` images, computed on the device.

        `resized` are the uint8 batches [B, H, W, 3] of the images at `batches` that the crops are cut from. RandAugment
        would have to precede the resizing, so search spaces cannot combine the two.
        """
        chances = rng.random((images, CROP_TRIES, 4))
        mirrored = _mirrored(images, rng, augmentation)
        height, width = self.preprocess.size

        def views(batch: torch.Tensor, indices: np.ndarray) -> torch.Tensor:
            shown = batch.to(self.device)
            if augmentation.crop_scale is not None:
                boxes = random_crops(width, height, chances[indices], augmentation.crop_scale)
                shown = self.preprocess.crops(shown, boxes)
            flipped = torch.from_numpy(mirrored[indices]).to(self.device)[:, None, None, None]
            return torch.where(flipped, shown.flip(2), shown) if augmentation.flip else shown

        return (views(batch, np.asarray(indices)) for batch, indices in zip(resized, batches, strict=True))

    def to_device(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised float32 [B, 3, H, W] of uint8 [B, H, W, 3]."""
        return self.preprocess.to_batch(pixels, self.device)

    def _decode(self, batches: Sequence[Indices], view: Callable[[int], Image.Image]) -> Iterator[torch.Tensor]:
        if self._pool is None:
            for batch in batches:
                yield stack([view(i) for i in batch])
            return
        ahead: list[list[Future[Image.Image]]] = []
        for batch in batches:
            ahead.append([self._pool.submit(view, i) for i in batch])
            if len(ahead) > BATCHES_AHEAD:
                yield stack([future.result() for future in ahead.pop(0)])
        for pending in ahead:
            yield stack([future.result() for future in pending])


def _mirrored(images: int, rng: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
    """Which views are mirrored, bool [images]. Drawn after the crops, so that mirroring does not change the crops."""
    return rng.random(images) < 0.5 if augmentation.flip else np.zeros(images, dtype=bool)
