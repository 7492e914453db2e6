"""Reads torchvision data sets through their public API: classes and their splits, files, labels and class names.

Images are not decoded here if torchvision can give their files.
"""

from __future__ import annotations

import csv
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.complaints import one_of, show
from flyp_sweep.search_spaces.errors import InputError, nearest

OTHER_TASKS = frozenset(
    """
    CarlaStereo CelebA Cityscapes CocoCaptions CocoDetection CREStereo ETH3DStereo FallingThingsStereo Flickr30k
    Flickr8k FlyingChairs FlyingThings3D HD1K HMDB51 InStereo2k Kinetics Kitti Kitti2012Stereo Kitti2015Stereo
    KittiFlow LFWPairs LSUN LSUNClass Middlebury2014Stereo MovingMNIST PhotoTour SBDataset SBU SceneFlowStereo Sintel
    SintelStereo UCF101 VOCDetection VOCSegmentation WIDERFace
    """.split()  # noqa: SIM905
)
"""torchvision classes whose images have no single label, or that read no images."""
READ_BY_OTHERS = {
    "DatasetFolder": "{folders: {train: DIR, ...}}",
    "FakeData": "the data set digits",
    "ImageFolder": "{folders: {train: DIR, ...}}",
    "PCAM": "the data set pcam, which reads the same files faster",
    "VisionDataset": "one of its subclasses",
}
"""torchvision class -> the recommended entry."""
SPLIT_ARGUMENTS = ("split", "what", "version", "train", "background")
"""Names of the argument that selects a split, in order of preference."""
TRUE_AND_FALSE = {"train": ("train", "test"), "background": ("background", "evaluation")}
"""Names in a search space for the values of boolean split arguments."""
WHOLE = "all"
"""The name of the only split of a class without such an argument."""
SET_HERE = frozenset({"root", "transform", "target_transform", "transforms", "download", "loader", "is_valid_file"})
TARGETS = frozenset({"target_type", "target_types"})
CLASS_NAMES = ("classes", "categories", "all_categories")
"""The attributes in which classes store the names of labels."""


class NotThere(InputError):
    """torchvision cannot find the files of a data set."""


@dataclass(frozen=True)
class Source:
    """A split of a torchvision data set: the class, its root folder, torchvision's name of the split, and further
    arguments."""

    kind: str
    root: Path
    split: str
    options: tuple[tuple[str, str | int | bool], ...] = ()

    def __str__(self) -> str:
        return f"torchvision.datasets.{self.kind} ({self.split})"

    def made(self, *, download: bool) -> Any:
        """The torchvision object. Raises InputError for an unknown split or option, and whatever torchvision raises."""
        kind = class_named(self.kind)
        known = parameters(kind)
        for name, _ in self.options:
            free = sorted({*known} - SET_HERE - TARGETS - {split_argument(kind), "args", "kwargs"})
            if name not in free:
                allowed = f"one of {one_of(free)}" if free else "none"
                raise InputError(
                    f"dataset.options: found {name!r}; expected {allowed} for torchvision.datasets.{self.kind}"
                    f"{nearest(name, free)}"
                )
        given: dict[str, Any] = dict(self.options) | self._split(kind)
        if "download" in known:
            given["download"] = download
        if "loader" in known:
            given["loader"] = path_of
        return kind(self.root, **given)

    def _split(self, kind: type) -> dict[str, str | bool]:
        argument = split_argument(kind)
        called = TRUE_AND_FALSE.get(argument or "", () if argument else (WHOLE,))
        if called and self.split not in called:
            raise InputError(
                f"dataset.splits: found {show(self.split)}; expected {one_of(called)} for "
                f"torchvision.datasets.{self.kind}"
            )
        if argument is None:
            return {}
        return {argument: self.split == called[0] if called else self.split}


@dataclass(frozen=True)
class Listing:
    """A split: the file of each image (None: torchvision gives only images), its label, int64 [N], and the classes in
    the order of torchvision's labels."""

    files: list[str] | None
    labels: np.ndarray
    classes: Sequence[str]


@dataclass(frozen=True)
class Indexed:
    """Images that torchvision holds in memory: rows of a data set, int64 [N]. It pickles without them."""

    source: Source
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Image.Image:
        return opened(self.source)[int(self.rows[index])][0].convert("RGB")

    def keys(self) -> list[str]:
        """The rows."""
        return list(map(str, self.rows.tolist()))

    def taken(self, indices: np.ndarray) -> Self:
        return replace(self, rows=self.rows[indices])

    def identity(self) -> Iterator[bytes]:
        """The pixels as torchvision stores them, if it exposes them, else those of each image."""
        pixels = np.asarray(getattr(opened(self.source), "data", ()))
        yield f"{self.source.kind} {pixels.shape}\n".encode()
        yield self.rows.tobytes()
        yield from ([pixels.tobytes()] if len(pixels) else (self[index].tobytes() for index in range(len(self))))


def path_of(path: str | Path) -> str:
    """The loader that torchvision gets: it returns the path, because images are decoded here and identified by file."""
    return str(path)


@cache
def names() -> list[str]:
    """The torchvision classes that this module reads."""
    from torchvision import datasets

    found = [name for name in datasets.__all__ if inspect.isclass(getattr(datasets, name))]
    return sorted({*found} - OTHER_TASKS - {*READ_BY_OTHERS})


def _meant(name: str) -> str:
    """The class that a name resembles, ignoring case, for messages."""
    alike = [one for one in names() if one.casefold() == name.casefold()]
    return nearest(alike[0] if alike else name, names())


def class_named(name: str) -> Any:
    """A torchvision class. Raises InputError for an unknown one, or one without images that have one label each."""
    from torchvision import datasets

    if name in READ_BY_OTHERS:
        raise InputError(f"dataset.torchvision: found {name!r}; write {READ_BY_OTHERS[name]} in its place")
    if name in OTHER_TASKS:
        raise InputError(f"dataset.torchvision: found {name!r}, which is no data set of images with one label each")
    if name not in names():
        raise InputError(f"dataset.torchvision: found {name!r}; expected one of {', '.join(names())}{_meant(name)}")
    return getattr(datasets, name)


def parameters(kind: type) -> Mapping[str, inspect.Parameter]:
    """The arguments of a class, including those that it passes on to its base classes."""
    found: dict[str, inspect.Parameter] = {}
    for base in inspect.getmro(kind):
        own = inspect.signature(base).parameters
        found = {**own, **found}
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in own.values()):
            break
    return found


def split_argument(kind: type) -> str | None:
    """The argument that selects a split. It must have a default: EMNIST's `split`, which has none, means something
    else.

    Later names are those of older classes.
    """
    known = parameters(kind)
    for name in SPLIT_ARGUMENTS:
        if name in known and known[name].default is not inspect.Parameter.empty:
            return name
    return None


@lru_cache(maxsize=16)
def opened(source: Source) -> Any:
    """torchvision's object for a split that exists; downloads nothing.

    Raises NotThere if torchvision finds no files, and InputError for refused arguments and unreadable files.
    """
    class_named(source.kind)
    if not source.root.is_dir():
        raise NotThere(f"{source.root}: found no such folder")
    try:
        return source.made(download=False)
    except InputError:
        raise
    except (RuntimeError, FileNotFoundError) as error:
        raise NotThere(_reason(error)) from error
    except (TypeError, ValueError) as error:
        raise InputError(f"dataset.splits or dataset.options: {source}: {_reason(error)}") from error
    except Exception as error:  # an absent package, a damaged file
        raise InputError(f"{source.root}: {source} cannot be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.partition(" You can use download=True")[0].rstrip(".")


@lru_cache(maxsize=16)
def listing(source: Source) -> Listing:
    """Files, labels and classes of a split. Raises InputError as `opened`, and for images without a label."""
    dataset = opened(source)
    if not len(dataset):
        raise InputError(f"{source.root}: found no image in {source}; get the files again")
    own = LISTED.get(source.kind)
    files, numbers = own(source) if own else _indexed(dataset, source)
    labels = np.array(numbers, dtype=np.int64)
    names = _class_names(dataset)
    if len(labels) != len(dataset) or labels.min() < 0 or (names and labels.max() >= len(names)):
        found = f"{len(labels)} labels from {labels.min()} to {labels.max()}"
        raise InputError(
            f"{source.root}: found {found} for {len(dataset)} images in {source}; expected a class for each image"
        )
    return Listing(files, labels, names or [str(number) for number in range(labels.max() + 1)])


def _indexed(dataset: Any, source: Source) -> tuple[list[str] | None, list[int]]:
    """Files and labels, as torchvision indexes them; without files, labels come from `targets` or `labels`."""
    first = _file(dataset[0][0])
    known = getattr(dataset, "targets", getattr(dataset, "labels", ()))
    if first is None and len(known) == len(dataset):
        return None, [_number(target, source) for target in known]
    pairs = (dataset[row] for row in range(len(dataset)))
    rows = [(_file(image), _number(target, source)) for image, target in pairs]
    return None if first is None else [str(file) for file, _ in rows], [number for _, number in rows]


def _file(image: Any) -> str | None:
    """The file of an image: the path from the loader, or the file of an opened image that is not decoded yet."""
    if isinstance(image, str):
        return image
    file = getattr(image, "filename", "") if isinstance(image, Image.Image) else ""
    return str(file) if file else None


def _number(target: Any, source: Source) -> int:
    try:
        return int(target.__index__())
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{source}: found a label of type {type(target).__name__}; expected the number of a class, "
            "so another split, or another data set"
        ) from error


def _class_names(dataset: Any) -> list[str]:
    """torchvision's class names in label order; of several names, the first that no other class has."""
    found = next((list(getattr(dataset, name)) for name in CLASS_NAMES if hasattr(dataset, name)), [])
    firsts = [one if isinstance(one, str) else one[0] for one in found]
    return [
        first if firsts.count(first) == 1 or isinstance(one, str) else ", ".join(one)
        for first, one in zip(firsts, found, strict=True)
    ]


def _pets(source: Source) -> tuple[list[str], list[int]]:
    """Files and labels of OxfordIIITPet, whose own class decodes each image to return its label."""
    folder = source.root / "oxford-iiit-pet"
    lines = (folder / "annotations" / f"{source.split}.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines]
    return [str(folder / "images" / f"{row[0]}.jpg") for row in rows], [int(row[1]) - 1 for row in rows]


def _signs(source: Source) -> tuple[list[str], list[int]]:
    """Files and labels of GTSRB, whose own class decodes each image to return its label."""
    from torchvision.datasets.folder import make_dataset

    folder = source.root / "gtsrb"
    if source.split == "train":
        samples = make_dataset(str(folder / "GTSRB" / "Training"), extensions=(".ppm",))
        return [file for file, _ in samples], [label for _, label in samples]
    images = folder / "GTSRB" / "Final_Test" / "Images"
    with (folder / "GT-final_test.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";", skipinitialspace=True))
    return [str(images / row["Filename"]) for row in rows], [int(row["ClassId"]) for row in rows]


LISTED = {"OxfordIIITPet": _pets, "GTSRB": _signs}
"""Classes that return decoded images and no files -> functions that list their files and labels."""
