"""Image files as people have them: what the model sees of them is what a viewer shows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusal import refused

from flyp_sweep.trainers.datasets.decoding import read_image
from flyp_sweep.trainers.datasets.named_files import below_folder

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
RED, INK, HIDDEN = (200, 10, 10), (0, 0, 0), (9, 99, 199)


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def drawing() -> Image.Image:
    """Ink in the alpha channel, black everywhere."""
    return Image.merge("RGBA", [*[Image.new("L", (9, 6))] * 3, Image.fromarray(GREY)])


def sheet(colours: list[tuple[int, int, int]]) -> Image.Image:
    """A row of pixels in these colours."""
    image = Image.new("RGB", (len(colours), 1))
    image.putdata(colours)
    return image


def palette() -> Image.Image:
    return sheet([RED, HIDDEN]).quantize(2)


def shade(image: Image.Image, mode: str = "RGB") -> Any:
    return np.asarray(image.convert(mode))


DEEP = GREY.astype(np.uint16) * 257
AS_SEEN: dict[str, tuple[str, Callable[[Path], None], Any]] = {
    "16-bit PNG": ("a.png", lambda path: Image.fromarray(DEEP).save(path), GREY),
    "16-bit TIFF": ("a.tif", lambda path: Image.fromarray(DEEP).save(path), GREY),
    "16-bit PGM": ("a.pgm", lambda path: path.write_bytes(b"P5 9 6 65535\n" + DEEP.astype(">u2").tobytes()), GREY),
    "32-bit TIFF": ("a.tif", lambda path: Image.fromarray(DEEP.astype(np.int32)).save(path), GREY),
    "float TIFF": ("a.tif", lambda path: Image.fromarray(GREY.astype(np.float32) / 255).save(path), GREY),
    "alpha": ("a.png", lambda path: drawing().save(path), 255 - GREY),
    "alpha of WebP": ("a.webp", lambda path: drawing().save(path, lossless=True), 255 - GREY),
    "8-bit grey": ("a.png", lambda path: Image.fromarray(GREY).save(path), GREY),
    "transparent grey": (
        "a.png",
        lambda path: Image.fromarray(GREY).save(path, transparency=int(GREY[0, 0])),
        np.where(GREY[0, 0] == GREY, 255, GREY),
    ),
    "transparent 16-bit grey": (
        "a.png",
        lambda path: Image.fromarray(DEEP).save(path, transparency=int(DEEP[0, 0])),
        np.where(GREY[0, 0] == GREY, 255, GREY),
    ),
}


@pytest.mark.parametrize("kind", AS_SEEN)
def test_a_viewer_s_shades(kind: str, tmp_path: Path) -> None:
    name, save, expected = AS_SEEN[kind]
    save(tmp_path / name)
    seen = read_image(tmp_path / name, "viewer")
    assert seen.mode == "RGB"
    assert (np.asarray(seen) == expected[..., None]).all()
    with Image.open(tmp_path / name) as plain:
        assert (np.asarray(read_image(tmp_path / name)) == np.asarray(plain.convert("RGB"))).all()


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_a_transparent_entry_of_a_palette_is_white(name: str, tmp_path: Path) -> None:
    image = palette()
    image.save(tmp_path / name, transparency=image.getpixel((1, 0)))
    seen = read_image(tmp_path / name, "viewer")
    assert [seen.getpixel((x, 0)) for x in range(2)] == [RED, (255, 255, 255)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_an_image_stands_as_the_camera_was_held(name: str, orientation: int, tmp_path: Path) -> None:
    upright = Image.new("RGB", (32, 16))
    upright.paste(RED, (0, 0, 16, 8))
    ways = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    """Orientation -> the transposition that stores an upright image so."""
    stored = upright.transpose(Image.Transpose(ways[orientation])) if orientation > 1 else upright
    stored.save(tmp_path / name, exif=exif(orientation), **({"quality": 100} if name != "a.png" else {}))
    seen = read_image(tmp_path / name, "viewer")
    assert seen.size == (32, 16)
    assert np.abs(shade(seen).astype(int) - shade(upright)).mean() < 8
    assert read_image(tmp_path / name).size == stored.size


def test_damaged_exif_data_are_ignored(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    assert read_image(tmp_path / "a.jpg", "viewer").size == (9, 6)


@pytest.mark.parametrize(
    "values", [GREY.astype(np.float32), np.full((2, 2), np.nan, np.float32), -DEEP.astype(np.int32)]
)
def test_deep_pixels_of_unknown_scale_are_refused_with_a_way_out(values: Any, tmp_path: Path) -> None:
    Image.fromarray(values).save(tmp_path / "a.tif")
    way_out = "8 or 16 bits, or set images.as"
    refused(lambda: read_image(tmp_path / "a.tif", "viewer"), "a.tif: not a readable image", way_out)
    assert read_image(tmp_path / "a.tif").mode == "RGB"


def test_a_photo_has_the_same_pixels_either_way(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    assert (shade(read_image(tmp_path / "a.jpg", "viewer")) == shade(read_image(tmp_path / "a.jpg"))).all()


def test_the_cache_tells_the_ways_of_decoding_apart(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    identities = {
        b"".join(below_folder(tmp_path, [tmp_path / "a.png"], way).identity()) for way in ("viewer", "torchvision")
    }
    assert len(identities) == 2


def test_a_large_photo_is_read_without_a_warning(tmp_path: Path) -> None:
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    code = f"from flyp_sweep.trainers.datasets.decoding import *; read_image(Path({str(tmp_path / 'large.png')!r}))"
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
