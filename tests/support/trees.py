"""Files of data sets in their publishers' layouts, a few images each, that can be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, shade: int, mode: str = "RGB") -> Path:
    """A 16x16 image of one shade, which `shade_of` reads again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (16, 16), shade if mode == "L" else (shade,) * 3).save(path, **_options(path))
    return path


def shade_of(image: Image.Image) -> int:
    """What `write_image` wrote, to within the loss of JPEG."""
    assert image.mode == "RGB"
    return int(np.asarray(image).mean().round())


def _options(path: Path) -> dict[str, int]:
    return {"quality": 100} if path.suffix == ".jpg" else {}
