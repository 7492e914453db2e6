"""RandAugment (Cubuk et al., 2020) with torchvision's default strength, from draws that the caller makes.

torchvision's own class draws from the process's global stream, which threads share. A test checks that the pixels
are equal to torchvision's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional

OPERATIONS = 2
"""Operations per image, applied in turn."""
MAGNITUDE, MAGNITUDES = 9, 31
"""The strength of all operations, on a scale from 0 with this many values."""

Operation = Callable[[Image.Image, int], Image.Image]
"""Changes an RGB image; the second argument, 1 or -1, is the direction of the change."""


def magnitude(largest: float) -> float:
    """The strength on a scale from 0 to `largest`, rounded as in torchvision."""
    return torch.linspace(0.0, largest, MAGNITUDES)[MAGNITUDE].item()


SHEAR, ROTATION, COLOUR = magnitude(0.3), magnitude(30.0), magnitude(0.9)
BITS, THRESHOLD = 8 - round(magnitude(4.0)), 255.0 - magnitude(255.0)


def _sheared(x: bool, image: Image.Image, sign: int) -> Image.Image:
    angle = math.degrees(math.atan(sign * SHEAR))
    shear = [angle, 0.0] if x else [0.0, angle]
    return functional.affine(image, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0])


def _shifted(x: bool, image: Image.Image, sign: int) -> Image.Image:
    pixels = int(sign * magnitude(150.0 / 331.0 * (image.width if x else image.height)))
    translate = [pixels, 0] if x else [0, pixels]
    return functional.affine(image, angle=0.0, translate=translate, scale=1.0, shear=[0.0, 0.0])


def _coloured(adjust: Callable[[Image.Image, float], Image.Image], image: Image.Image, sign: int) -> Image.Image:
    return adjust(image, 1 + sign * COLOUR)


ALL: tuple[Operation, ...] = (
    lambda image, _: image,
    partial(_sheared, True),
    partial(_sheared, False),
    partial(_shifted, True),
    partial(_shifted, False),
    lambda image, sign: functional.rotate(image, sign * ROTATION),
    partial(_coloured, functional.adjust_brightness),
    partial(_coloured, functional.adjust_saturation),
    partial(_coloured, functional.adjust_contrast),
    partial(_coloured, functional.adjust_sharpness),
    lambda image, _: functional.posterize(image, BITS),
    lambda image, _: functional.solarize(image, THRESHOLD),
    lambda image, _: functional.autocontrast(image),
    lambda image, _: functional.equalize(image),
)
"""The operations in torchvision's order."""


def drawn(images: int, rng: np.random.Generator) -> np.ndarray:
    """An operation and a direction for each of OPERATIONS of each image: int64 [images, OPERATIONS, 2]."""
    return rng.integers((len(ALL), 2), size=(images, OPERATIONS, 2))


def changed(image: Image.Image, operations: Sequence[Sequence[int]]) -> Image.Image:
    """`image` in RGB after all `operations`, each the index of one of ALL and 0 or 1 for its direction."""
    image = image if image.mode == "RGB" else image.convert("RGB")
    for index, direction in operations:
        image = ALL[index](image, -1 if direction else 1)
    return image
