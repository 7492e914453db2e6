"""Images decoded per second through each reader of own data, against Pillow on the same files, in one thread.

The photos are those of a folder of class folders where the environment's BENCH_PHOTOS names one, else noise.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measuring import Options, Report, Row, Sample, alternate, main, scratch, seconds
from PIL import Image

from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.datasets.base import Images
from flyp_sweep.trainers.testing.reader_contract import Example

sys.path.append(str(Path(__file__).parents[1] / "support"))
from forms import FORMS

COUNT = 2000
SPLIT = "train"


@dataclass(frozen=True)
class Kind:
    """How photos are encoded: a format of Pillow, and the side of their squares in pixels; None: as they are."""

    told: str
    suffix: str
    side: int | None

    def encoded(self, photo: Image.Image) -> bytes:
        file = io.BytesIO()
        resized = photo.resize((self.side, self.side), Image.Resampling.BICUBIC) if self.side else photo
        resized.save(file, {".jpg": "jpeg", ".png": "png"}[self.suffix], quality=90)
        return file.getvalue()


KINDS = (
    Kind("JPEGs of 224 px", ".jpg", 224),
    Kind("JPEGs of 32 px", ".jpg", None),
    Kind("PNGs of 32 px", ".png", None),
)


def benchmark(options: Options) -> Report:
    photos = read_photos(60 if options.tiny else COUNT)
    rows: list[Row] = []
    for kind in KINDS:
        names = [f"{at:05d}{kind.suffix}" for at in range(len(photos))]
        images = [
            Example(SPLIT, name, kind.encoded(photo), label) for name, (photo, label) in zip(names, photos, strict=True)
        ]
        with scratch() as folder:
            rows += compared(folder, kind, images, options)
    return Report(rows)


def compared(folder: Path, kind: Kind, images: Sequence[Example], options: Options) -> list[Row]:
    """A row for each reader of `images`, which take turns with Pillow."""
    made: dict[str, Images] = {}
    for name, form in FORMS.items():
        (folder / name).mkdir()
        try:
            own = form(folder / name, images)
        except pytest.skip.Exception as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        made[name] = datasets.make(entry(own), folder / name).split("id_test").images
    files = sorted((folder / "folders" / SPLIT).rglob(f"*{kind.suffix}"))
    measures: list[Callable[[], float]] = [partial(seconds, partial(plainly, files))]
    measures += [partial(seconds, partial(through, one)) for one in made.values()]
    plain, *found = alternate(options.runs, *measures)
    return [row(name, kind, one, plain, len(images), options) for name, one in zip(made, found, strict=True)]


def row(name: str, kind: Kind, ours: Sample, plain: Sample, count: int, options: Options) -> Row:
    rate, against = (Sample(tuple(count / one for one in taken.values)) for taken in (ours, plain))
    return Row(
        f"`{name}`, {kind.told}",
        rate.told("images/s"),
        against.told("images/s, Pillow on files"),
        plain.over(ours).told("of Pillow's rate", digits=3),
        options.runs,
        f"{count} images, one thread, files in the page cache",
    )


def plainly(files: Sequence[Path]) -> None:
    for path in files:
        with Image.open(path) as image:
            image.convert("RGB")


def through(images: Images) -> None:
    for at in range(len(images)):
        images[at]


def entry(own: dict[str, Any]) -> Any:
    """What a search space says of one split to evaluate on."""
    own = dict(own)
    key = "splits" if "splits" in own else next(key for key in own if key in ("folders", "tables"))
    own[key] = {"id_test": own[key].get(SPLIT, SPLIT)}
    rest = {"name": "bench", "dataset": "digits", "model": {"arch": "digits-clip"}, "methods": ["zeroshot"]}
    return from_mapping({**rest, "search": {"num_samples": 1}, "evaluate": [{"name": "bench_data", **own}]}).evaluate[0]


def read_photos(count: int) -> list[tuple[Image.Image, str]]:
    """Photos with their classes, in order of the class."""
    place = os.environ.get("BENCH_PHOTOS")
    if not place:
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        photos = [Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC) for one in noise]
        return [(photo, "even" if at % 2 == 0 else "odd") for at, photo in enumerate(photos)]
    files = sorted(Path(place).glob("*/*"))
    chosen = files[:: max(1, len(files) // count)][:count]
    return [(Image.open(path).convert("RGB"), path.parent.name) for path in chosen]


if __name__ == "__main__":
    main(benchmark, __doc__)
