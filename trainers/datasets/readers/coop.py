"""Your own data: CoOp's splits, a JSON file beside the folder of images, described in the YAML."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.complaints import one_line, show
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.coop import CoopDataset, called_by_coop
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.absent_files import absent_rows
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.class_labels import listed, spelt
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names
from flyp_sweep.trainers.datasets.own import OwnData

INSTRUCTIONS = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
FOLDERS = {
    "Caltech101": "101_ObjectCategories",
    "OxfordPets": "images",
    "StanfordCars": "",
    "OxfordFlowers": "jpg",
    "Food101": "images",
    "SUN397": "SUN397",
    "DescribableTextures": "images",
    "EuroSAT": "2750",
    "UCF101": "UCF-101-midframes",
}
"""CoOp's name of a data set -> the folder, beside its file, that its paths start from."""
MOST_VALIDATED = 4
"""CoOp draws as many validation images per class as shots, up to this number."""

Row = tuple[str, int, str]
"""The path of an image, its label and the name of its class."""


class CoopImages(OwnData):
    """The three splits of a `split_zhou_*.json`, with the file's class names and numbers."""

    entry_type: ClassVar[type[OwnDataset]] = CoopDataset
    summary = "CoOp's splits, in a JSON file"

    def __init__(self, entry: CoopDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        self.file = self.resolve(entry.coop)
        beside = self.file.parent / FOLDERS.get(called_by_coop(entry.coop), "")
        self.folder = beside if entry.images is None else self.resolve(entry.images)
        self.draws = entry.draws or ""

    def where(self, split: str) -> str:
        return f"{self.file}: {self.sources[split]}"

    def missing(self) -> list[Missing]:
        """The absent file or folder; if none is absent, the first absent image."""
        if not self.file.is_file():
            return [Missing(self.file, INSTRUCTIONS)]
        if not self.folder.is_dir():
            return [Missing(self.folder, INSTRUCTIONS)]
        files_in = cache(lambda folder: {*os.listdir(folder)} if os.path.isdir(folder) else set[str]())
        absent = {split: absent_rows(self.folder, self._paths(split), files_in) for split in self.splits}
        count, total = sum(map(len, absent.values())), sum(len(self._rows(split)) for split in self.splits)
        for split, rows in absent.items():
            if rows:
                first = self.folder / self._rows(split)[rows[0]][0]
                return [Missing(first, f"{self.where(split)} ({count} of the {total} images listed are absent)")]
        return []

    def labels_of(self, split: str) -> list[str]:
        return list(dict.fromkeys(name for _, _, name in self._rows(split)))

    def ordered(self, labels: Sequence[str]) -> list[str]:
        """In the order of the numbers in the file."""
        return sorted(labels, key=self._numbers.__getitem__)

    def read(self, split: str) -> Split:
        classes = self.classes_of(split)
        known = {name: label for label, name in enumerate(classes)}
        names = [name for _, _, name in self._rows(split)]
        if unknown := next((name for name in names if name not in known), None):
            raise InputError(
                f"{self.where(split)}: found the class {spelt(unknown)}; expected one of {self.whole}: "
                f"{listed(classes)}{nearest(unknown, classes) or self.if_new(split)}"
            )
        images = NamedFiles(self.folder, self._paths(split), shown_as=self.shown_as)
        labels = np.array([known[name] for name in names], dtype=np.int64)
        return Split(split, self.splits[split], images, labels, self.metric)

    def left_out(self, split: str) -> str:
        return ""

    def few_shot_draw(self, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
        """CoOp's draw with seed `seed + 1`, if the search space asks for it.

        Source: `generate_fewshot_dataset` of Dassl. CoOp calls it after `random.seed`, for the training and then the
        validation images. It samples each class in order of first occurrence, with repetition if a class has too few
        images.
        """
        if not self.draws:
            return None
        rng = random.Random(seed + 1)  # noqa: S311 - as CoOp draws
        train = sampled(self.split("train").labels, shots, rng)
        return train, sampled(self.split("id_val").labels, min(shots, MOST_VALIDATED), rng)

    def rules(self) -> list[str]:
        told = "few-shot cells train on CoOp's draws: seed 0 is CoOp's seed 1, in searches and in repeats"
        return ([told] if self.draws else []) + super().rules()

    @cached_property
    def _all(self) -> dict[str, list[Row]]:
        """All splits of the file. Raises InputError if it is not CoOp's format."""
        expected = 'expected {"train": [[path, label, class name], ...], "val": ..., "test": ...}, as CoOp writes it'
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
            return {
                split: [(str(path), int(label), str(name).strip()) for path, label, name in rows]
                for split, rows in found.items()
            }
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(one_line(f"{self.file}: could not be read ({error}); ") + expected) from error

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Class -> its number. Raises InputError if a class has two numbers, or a number two classes."""
        numbers: dict[str, int] = {}
        names: dict[int, str] = {}
        for split, rows in self._all.items():
            for path, label, name in rows:
                if numbers.setdefault(name, label) != label or names.setdefault(label, name) != name:
                    raise InputError(
                        f"{self.file}: {split}: found {path!r} of class {spelt(name)} with label {label}; expected one "
                        f"label for each class, and there is {spelt(names.get(label, name))} with label {numbers[name]}"
                    )
        return numbers

    def _rows(self, split: str) -> list[Row]:
        wanted = self.sources[split]
        if not self._all.get(wanted):
            raise InputError(
                f"{self.file}: found no image in split {show(wanted)}; expected one of {listed(list(self._all))}"
                f"{nearest(wanted, self._all)}"
            )
        assert self._numbers
        return self._all[wanted]

    def _paths(self, split: str) -> np.ndarray:
        return as_names(path for path, _, _ in self._rows(split))


def sampled(labels: np.ndarray, count: int, rng: random.Random) -> np.ndarray:
    """Indices, int64 [classes * count] in ascending order, of `count` images of each class."""
    rows: dict[int, list[int]] = {}
    for row, label in enumerate(labels.tolist()):
        rows.setdefault(label, []).append(row)
    drawn = [rng.sample(own, count) if len(own) >= count else rng.choices(own, k=count) for own in rows.values()]
    return np.sort(np.concatenate(drawn))
