"""ImageNet (ILSVRC2012) and the paper's five OOD sets, each in its publisher's folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets import imagenet_classes
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split
from flyp_sweep.trainers.datasets.digits import stratified_order
from flyp_sweep.trainers.datasets.image_listing import subfolders
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names, image_names

CLASSES = 1000
SEED = 2023
HELD_OUT = 0.02
TRAIN_IMAGES = 1_281_167
HELD_OUT_IMAGES = round(HELD_OUT * TRAIN_IMAGES)
ILSVRC = "https://www.image-net.org/download.php (ILSVRC2012, its images sorted into a folder per WordNet id)"
OBJECTNET = "https://objectnet.dev/downloads/objectnet-1.0.zip"
RED_BORDER = 2
MAPPINGS = (
    "folder_to_objectnet_label.json",
    "objectnet_to_imagenet_1k.json",
    "imagenet_to_label_2012_v2",
    "pytorch_to_imagenet_2012_id.json",
)

FOLDERS = {
    "train": ("imagenet/train", ILSVRC),
    "id_test": ("imagenet/val", ILSVRC),
    "imagenet_v2": (
        "imagenetv2-matched-frequency-format-val",
        "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-matched-frequency.tar.gz "
        "(publisher: https://github.com/modestyachts/ImageNetV2)",
    ),
    "imagenet_r": ("imagenet-r", "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar"),
    "imagenet_a": ("imagenet-a", "https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar"),
    "imagenet_sketch": (
        "sketch",
        "https://www.kaggle.com/wanghaohan/imagenetsketch (publisher: https://github.com/HaohanWang/ImageNet-Sketch)",
    ),
    "objectnet": ("objectnet-1.0/images", OBJECTNET),
}
"""Split -> the folder under ROOT with its images, and its source."""


@dataclass(frozen=True)
class Labelled:
    """The image files of a folder and their labels, int64 [N]."""

    images: NamedFiles
    labels: np.ndarray


class ImageNet(Dataset):
    """ImageNet's 1000 classes in the order of their WordNet ids, with the paper's protocol.

    2% of the training images, drawn once within each class, are `id_val`; the validation images are `id_test`.
    ImageNet-R and -A are scored among their 200 classes, ObjectNet among its 113 classes that ImageNet also has.
    Several ImageNet classes may map to one ObjectNet class. The red border of ObjectNet's images is cut off.
    """

    name = "imagenet"
    summary = "ImageNet, 1000 classes, OOD: ImageNetV2, -R, -A, -Sketch and ObjectNet"
    held_out = True

    splits = {
        "train": "train",
        "id_val": "id_val",
        "id_test": "id_test",
        "imagenet_v2": "ood",
        "imagenet_r": "ood",
        "imagenet_a": "ood",
        "imagenet_sketch": "ood",
        "objectnet": "ood",
    }
    published = {
        "train": TRAIN_IMAGES - HELD_OUT_IMAGES,
        "id_val": HELD_OUT_IMAGES,
        "id_test": 50_000,
        "imagenet_v2": 10_000,
        "imagenet_r": 30_000,
        "imagenet_a": 7_500,
        "imagenet_sketch": 50_889,
        "objectnet": 18_574,
    }

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._read: dict[str, Labelled] = {}

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """CLIP's names."""
        return imagenet_classes.class_names()

    @cached_property
    def class_ids(self) -> tuple[str, ...]:  # type: ignore[override]
        """WordNet ids."""
        return imagenet_classes.wordnet_ids()

    @cached_property
    def templates(self) -> tuple[str, ...]:  # type: ignore[override]
        """CLIP's 80 templates."""
        return imagenet_classes.templates()

    def missing(self) -> list[Missing]:
        """The absent folders of splits, and ObjectNet's absent mapping files."""
        wanted = [(self.root / folder, source) for folder, source in FOLDERS.values()]
        absent = [Missing(path, source) for path, source in wanted if not path.is_dir()]
        mappings = [self._mappings / name for name in MAPPINGS]
        return absent + [Missing(path, OBJECTNET) for path in mappings if not path.is_file()]

    def load(self, split: str) -> Split:
        """Return one split; raises InputError for an unknown one and for folders that differ from the publisher's."""
        if split not in self.splits:
            raise InputError(f"data set 'imagenet' has no split {split!r}; it has {', '.join(self.splits)}")
        if split in ("train", "id_val"):
            return self._part(split)
        labels, class_map = self._labels(split)
        found = self._labelled(split, labels, border=RED_BORDER if split == "objectnet" else 0)
        return Split(split, self.splits[split], found.images, found.labels, self.metric, class_map)

    def _part(self, split: str) -> Split:
        """The training images without the held-out ones, or the held-out ones."""
        found = self._labelled("train", _by_wordnet_id())
        rows = self._parts[split]
        images = NamedFiles(found.images.folder, found.images.relative[rows])
        return Split(split, self.splits[split], images, found.labels[rows], self.metric)

    @cached_property
    def _parts(self) -> dict[str, np.ndarray]:
        """Indices into the training images for the two splits made from them."""
        labels = self._labelled("train", _by_wordnet_id()).labels
        order, cut = stratified_order(labels, SEED), round(HELD_OUT * len(labels))
        return {"train": np.sort(order[cut:]), "id_val": np.sort(order[:cut])}

    def _labels(self, split: str) -> tuple[dict[str, int], np.ndarray | None]:
        """Folder name -> label in this split, and its class map."""
        if split == "imagenet_v2":
            return {str(number): number for number in range(CLASSES)}, None
        if split in ("imagenet_r", "imagenet_a"):
            return _by_wordnet_id(split), subset_map(split)
        if split == "objectnet":
            return objectnet_labels(self._mappings)
        return _by_wordnet_id(), None

    def _labelled(self, split: str, labels: dict[str, int], border: int = 0) -> Labelled:
        """The images of a split's folder. Skips ObjectNet's folders without a label; other data sets must not have
        any."""
        if split not in self._read:
            folder = self.root / FOLDERS[split][0]
            found = [path.name for path in _class_folders(folder)]
            unknown = [name for name in found if name not in labels]
            if unknown and split != "objectnet":
                raise InputError(
                    f"{folder}: found the folder {unknown[0]!r}; expected only {len(labels)} class folders such as "
                    f"{next(iter(labels))!r}; remove it, or unpack the publisher's archive again"
                )
            self._read[split] = _listed(folder, [name for name in found if name in labels], labels, border)
        return self._read[split]

    @property
    def _mappings(self) -> Path:
        return self.root / "objectnet-1.0" / "mappings"


def _by_wordnet_id(subset: str = "imagenet") -> dict[str, int]:
    return {wordnet_id: label for label, wordnet_id in enumerate(imagenet_classes.wordnet_ids(subset))}


def subset_map(subset: str) -> np.ndarray:
    """int64 [1000]: the subset's label for each of ImageNet's classes, -1 for classes outside the subset."""
    labels = _by_wordnet_id(subset)
    return np.array([labels.get(one, -1) for one in imagenet_classes.wordnet_ids()], dtype=np.int64)


def objectnet_labels(mappings: Path) -> tuple[dict[str, int], np.ndarray]:
    """Folder -> label of ObjectNet's classes that ImageNet has, sorted by folder, and the class map int64 [1000].

    The publisher's files map folders to objects, objects to descriptions of ImageNet classes (separated by "; "),
    descriptions to ILSVRC2012's numbers (their line numbers, from 0), and those to the usual class numbers. Raises
    InputError if the files cannot be read or are inconsistent.
    """
    try:
        text = {name: (mappings / name).read_text(encoding="utf-8") for name in MAPPINGS}
        objects, known, numbers = (json.loads(text[MAPPINGS[place]]) for place in (0, 1, 3))
        lines = [line.strip() for line in text[MAPPINGS[2]].splitlines()]
        classes = {lines[line]: int(number) for number, line in numbers.items()}
        labels = {folder: label for label, folder in enumerate(sorted(one for one in objects if objects[one] in known))}
        class_map = np.full(CLASSES, -1, dtype=np.int64)
        for folder, label in labels.items():
            class_map[[classes[description] for description in known[objects[folder]].split("; ")]] = label
    except (OSError, ValueError, AttributeError, TypeError, LookupError) as error:
        raise InputError(
            f"{mappings}: ObjectNet's mapping files could not be read ({type(error).__name__}: {error}); "
            f"expected {', '.join(MAPPINGS)} as in {OBJECTNET}; unpack them again"
        ) from error
    return labels, class_map


def _class_folders(folder: Path) -> list[Path]:
    try:
        return subfolders(folder)
    except OSError as error:
        raise InputError(f"{folder}: could not be read ({error.strerror}); expected a folder per class") from error


def _listed(folder: Path, names: list[str], labels: dict[str, int], border: int) -> Labelled:
    """All images of the class folders `names` in `folder`, ordered by label and file name."""
    ordered = sorted(names, key=labels.__getitem__)
    files = {name: image_names(folder / name) for name in ordered}
    counts = [len(files[name]) for name in ordered]
    if not sum(counts):
        raise InputError(f"{folder}: no image found; expected <class>/<image> files, a folder per class")
    paths = as_names(f"{name}/{file}" for name in ordered for file in files[name])
    numbers = np.array([labels[name] for name in ordered], dtype=np.int64)
    return Labelled(NamedFiles(folder, paths, border), np.repeat(numbers, counts))
