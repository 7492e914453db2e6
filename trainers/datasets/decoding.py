"""Decodes image files to RGB pixels: as a viewer shows the image, or as torchvision's loaders read it."""

from __future__ import annotations

import errno
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.sections import ShownAs

PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of a disk, a network or a machine, which do not mean that the file is damaged."""

ORIENTATION = 0x0112
"""The EXIF tag of the camera's orientation."""

DEEP = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}
"""Pillow's modes with more than 8 bits -> the value of white."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # Pillow refuses images of twice the limit


def read_image(
    source: str | Path | bytes, shown_as: ShownAs = "torchvision", name: Callable[[], str] | None = None
) -> Image.Image:
    """The RGB image in the file or the bytes `source`; the first frame if there are several.

    Raises InputError, with the path or the `name` of the image, if it cannot be decoded, and OSError if the disk or
    network fails.
    """
    told = name or (lambda: str(source))
    try:
        with Image.open(_Content(source, told)) as image:
            return as_viewed(image) if shown_as == "viewer" else image.convert("RGB")
    except FileNotFoundError as error:
        raise InputError(f"{told()}: the image is gone; put it back, or remove its entry") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many types for a damaged file
        if isinstance(error, OSError) and error.errno in PASSING:
            raise
        raise InputError(f"{told()}: not a readable image ({error}); repair, replace or delete the file") from error


class _Content(io.BytesIO):
    """The whole content of a file: one read is faster than Pillow's many. Pillow's errors call it `name`."""

    def __init__(self, source: str | Path | bytes, name: Callable[[], str]) -> None:
        if not isinstance(source, bytes):
            with open(source, "rb", buffering=0) as file:
                source = file.readall()
        super().__init__(source)
        self._told = name

    def __repr__(self) -> str:
        return repr(self._told())


def as_viewed(image: Image.Image) -> Image.Image:
    """`image` in RGB: upright, 8 bits per channel, with white behind transparent pixels.

    Raises ValueError for deep pixels with an unknown scale.
    """
    image.load()
    image = _in_eight_bits(_upright(image))
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """`image`, rotated according to the camera's orientation in its EXIF data."""
    try:
        turned = image.getexif().get(ORIENTATION, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # damaged EXIF data raise many types; a viewer ignores them
        return image


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """`image`, scaled to 8 bits: integers from a maximum of 65535, floats from a maximum of 1."""
    white = DEEP.get(image.mode)
    if white is None:
        return image
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):
        raise ValueError(
            f"found pixels from {low:g} to {high:g}, expected 0 to {white}; save the images with 8 or 16 bits, "
            "or set images.as to torchvision, which cuts pixels off at 0 and 255"
        )
    shades = np.rint(values.astype(np.float64) * (255 / white)).astype(np.uint8)
    if "transparency" in image.info:
        shades[values == image.info["transparency"]] = 255
    return Image.fromarray(shades)
