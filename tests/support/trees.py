"""A few images of a data set that can be told apart, as files in any layout, and how often each is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from flyp_sweep.trainers.datasets.base import Images


def write_image(path: Path, shade: int = 0, mode: str = "RGB") -> Path:
    """A 16x16 image of one shade, which `shade_of` reads again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 100} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    Image.new(mode, (16, 16), shade if mode == "L" else (shade,) * 3).save(path, **options)
    return path


def shade_of(image: Image.Image) -> int:
    """What `write_image` wrote, to within the loss of JPEG."""
    assert image.mode == "RGB"
    return int(np.asarray(image).mean().round())


def write_noise(root: Path, *splits: str) -> Path:
    """Image folders below `root`: five images of noise, each of another size, of each of two classes in every split."""
    rng = np.random.default_rng(0)
    for split in splits:
        for label in ("robin", "wren"):
            (root / split / label).mkdir(parents=True)
            for index in range(5):
                pixels = rng.integers(256, size=(40 + 3 * index, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / label / f"{index}.png")
    return root


class Counted:
    """Images that remember which of them were decoded, in order."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.decoded: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> Image.Image:
        self.decoded.append(int(index))
        return self.images[index].copy()
