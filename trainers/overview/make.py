"""Makes the overview of a data set: images, classes, sizes, examples as a model gets them, and possible problems."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data import duplicates, inspection
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.images import PAPER, Augmentation, Loader, Preprocess
from flyp_sweep.trainers.data.inspection import Found, Look
from flyp_sweep.trainers.data_checks import check_classes, check_complete
from flyp_sweep.trainers.datasets.base import Dataset, Images, Split, Subset
from flyp_sweep.trainers.datasets.census import groups_and_captions, images_per_class
from flyp_sweep.trainers.datasets.encoded import EncodedImages
from flyp_sweep.trainers.datasets.own import OwnData
from flyp_sweep.trainers.overview import drawing
from flyp_sweep.trainers.overview.facts import DatasetOverview, Example, SplitOverview

EXAMPLES, FEW_EXAMPLES = 8, 2
"""Pictures per split, and per OOD split of a data set with more than MANY_SPLITS, e.g. a grid of corruptions."""
MANY_SPLITS = 20

Check = Callable[[], Sequence[str] | None]
"""Returns remarks, one line each, or raises InputError for what a run would refuse."""


@dataclass(frozen=True)
class Shown:
    """How images and texts get to the model: preprocessing, augmentation of training views (`batched`: after resizing),
    number of templates (None: all), and whether a run skips undecodable images."""

    view: Preprocess
    augmentation: Augmentation = PAPER
    batched: bool = False
    templates: int | None = None
    skips: bool = False


@dataclass
class Seen:
    """Results so far: the findings, and split -> hashes of the decoded images."""

    found: Found = field(default_factory=Found)
    pixels: dict[str, np.ndarray] = field(default_factory=dict)


def overview(
    dataset: Dataset,
    shown: Shown,
    cache: Cache | None,
    *,
    deep: bool = False,
    checks: Sequence[Check] = (),
    say: inspection.Say = lambda line: None,
) -> DatasetOverview:
    """The overview of `dataset`. If the data set is broken, the overview says how.

    Of a large split, only a fixed sample is decoded. With `deep`, or if the cache holds the results, all images count.
    `checks` are additional checks.
    """
    seen = Seen()
    splits = []
    for name, role in dataset.splits.items():
        try:
            splits.append(_of_split(dataset, dataset.split(name), shown, seen, cache, deep, say))
        except (InputError, OSError) as error:
            splits.append(SplitOverview(name, role, problem=_line(error)))
    rules, wrong, suspicious = _judged(dataset, shown, seen, splits, Hashes(cache.folder if cache else None), checks)
    return DatasetOverview(
        name=dataset.name,
        classes=_classes(dataset),
        templates=len(dataset.templates[: shown.templates]),
        metric=dataset.metric,
        splits=splits,
        rules=rules,
        wrong=wrong,
        suspicious=suspicious,
    )


def _judged(
    dataset: Dataset,
    shown: Shown,
    seen: Seen,
    splits: Sequence[SplitOverview],
    hashes: Hashes,
    checks: Sequence[Check],
) -> tuple[list[str], list[str], list[str]]:
    """The rules of splits, problems that a run would refuse, and suspicious facts: lines without repetitions, and
    without those that a split reports itself."""
    wrong = [f"missing: {one.path} (from {one.source})" for one in dataset.missing()]
    counts = {split.name: split.images for split in splits if not split.problem}

    def alike() -> list[str]:
        seen.found.alike = duplicates.pairs(dataset, [(shown.view, seen.pixels)], hashes)
        return duplicates.remarks(seen.found.alike, equal_bytes=True)

    def decodable() -> None:
        if not shown.skips:
            seen.found.check(dataset.name)

    rules: list[str] = []
    suspicious: list[str] = []
    for source in (dataset.rules, lambda: groups_and_captions(dataset)):
        _tried(source, wrong, rules)
    for check in (lambda: check_classes(dataset), lambda: check_complete(dataset, counts), dataset.remarks, *checks):
        _tried(check, wrong, suspicious)
    _tried(alike, wrong, wrong if isinstance(dataset, OwnData) else suspicious)
    _tried(decodable, wrong, suspicious)
    suspicious += seen.found.remarks(skipped=shown.skips)
    told = {split.problem for split in splits}
    return rules, [line for line in dict.fromkeys(wrong) if line not in told], list(dict.fromkeys(suspicious))


def _tried(check: Check, wrong: list[str], remarks: list[str]) -> None:
    """Add a check's remarks, or its refusal."""
    try:
        remarks += check() or []
    except (InputError, OSError) as error:
        wrong.append(_line(error))


def _classes(dataset: Dataset) -> int:
    """The number of classes; 0 if unreadable, which every split then reports."""
    try:
        return len(dataset.class_names)
    except (InputError, OSError):
        return 0


def _line(error: InputError | OSError) -> str:
    told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    return " ".join(told.split())


def _of_split(
    dataset: Dataset, split: Split, shown: Shown, seen: Seen, cache: Cache | None, deep: bool, say: inspection.Say
) -> SplitOverview:
    """The overview of one split; adds its unreadable, blank and equal images to `seen`."""
    names = list(split.names(dataset))
    sizes = drawing.sizes_of(split.images)
    look = Look(split.images, split.name, cache, say, [shown.view])
    rows = np.arange(len(split))
    if not deep and not look.is_known:
        rows = drawing.sample(len(split), drawing.to_decode(len(split), sizes, len(dataset.splits)))
    if len(rows) < len(split):
        look = Look(_part(split.images, rows), split.name, cache, say, [shown.view])
    seen.found.take(split.name, look)
    seen.pixels[split.name] = np.zeros(len(split), f"S{inspection.HASH}")
    seen.pixels[split.name][rows] = look.pixels(shown.view)
    return SplitOverview(
        name=split.name,
        role=split.role,
        images=len(split),
        published=dataset.published.get(split.name),
        counts=list(zip(names, images_per_class(split, len(names)).tolist(), strict=True)),
        sizes=sizes,
        looked=len(rows),
        examples=_examples(dataset, split, shown),
    )


def _part(images: Images, rows: np.ndarray) -> Images:
    return images.taken(rows) if isinstance(images, EncodedImages) else Subset(images, rows)


def _examples(dataset: Dataset, split: Split, shown: Shown) -> list[Example]:
    """A few images as the model gets them, spread over the classes."""
    few = split.role == "ood" and len(dataset.splits) > MANY_SPLITS
    rows = drawing.spread(split.labels, FEW_EXAMPLES if few else EXAMPLES)
    rng = np.random.default_rng(drawing.SEED)
    templates = (split.templates or dataset.templates)[: shown.templates]
    examples, decoded = [], []
    for row, template in zip(rows.tolist(), rng.integers(len(templates), size=len(rows)).tolist(), strict=True):
        label = split.class_of(dataset, int(split.labels[row]))
        text = templates[template].format(label) if split.captions is None else split.captions[row]
        told: dict[str, Any] = {"label": label, "text": text, "file": _file(split, row)}
        try:
            image = split.images[row]
        except InputError as error:
            examples.append(Example(**told, problem=_line(error)))
            continue
        decoded.append(image)
        examples.append(Example(**told, view=_png(shown.view.resize(image))))
    if split.role != "train" or not decoded:
        return examples
    views = iter(training_views(decoded, shown))
    return [replace(one, training=_png(next(views))) if one.view else one for one in examples]


def training_views(images: Sequence[Image.Image], shown: Shown) -> list[Image.Image]:
    """A training view of each image, drawn with the search space's augmentation."""
    loader = Loader(shown.view, torch.device("cpu"))
    rng, batches = np.random.default_rng(drawing.SEED), [range(len(images))]
    if shown.batched:
        made = loader.crops(loader.resized(images, batches), batches, len(images), rng, shown.augmentation)
    else:
        made = loader.training_batches(images, batches, rng, shown.augmentation)
    return [Image.fromarray(pixels.numpy()) for batch in made for pixels in batch]


def _file(split: Split, row: int) -> str:
    """The name of an image within its data set."""
    images = split.images
    return images.taken(np.array([row])).keys()[0] if isinstance(images, EncodedImages) else f"image {row}"


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()
