"""Your own data: a table per split with the path and the label of every image, described in the YAML."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from flyp_sweep.search_spaces.complaints import show
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import TableDataset
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names
from flyp_sweep.trainers.datasets.own import OwnData, listed
from flyp_sweep.trainers.datasets.table_files import read_columns

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Rows:
    """The rows of a table: paths as written, bytes [N]; its distinct labels; int64 [N], which of these each row has."""

    paths: np.ndarray
    labels: list[str]
    codes: np.ndarray


class ImageTables(OwnData):
    """A table per split, in it a row per image; see `table_files` for the kinds of files.

    Paths in a table start from `images`, or, without it, from the table's own folder.
    """

    summary = "tables of paths and labels, one per split"

    def __init__(self, entry: TableDataset, root: Path) -> None:
        super().__init__(entry, entry.tables, root)
        self.columns = (entry.columns.path, entry.columns.label)
        self.images = None if entry.images is None else self.resolve(entry.images)
        self._read: dict[str, Rows] = {}

    def missing(self) -> list[Missing]:
        """The tables and the folder of images that are absent; when there are none, the first absent image.

        Raises InputError for a table that cannot be read.
        """
        where = f"of {self.name!r} in the search space"
        wanted = dict.fromkeys(self.paths.values())
        absent = [Missing(path, f"dataset.tables {where}") for path in wanted if not os.path.isfile(path)]
        if self.images is not None and not os.path.isdir(self.images):
            absent.append(Missing(self.images, f"dataset.images {where}"))
        return absent or self._missing_images()

    def found_classes(self) -> list[str]:
        """The labels of the training table: as numbers when all are whole numbers, else in alphabetical order."""
        return in_order(self._rows("train").labels)

    def read(self, split: str) -> Split:
        rows = self._rows(split)
        numbers = {name: label for label, name in enumerate(self.classes)}
        labels = np.array([numbers.get(name, -1) for name in rows.labels], dtype=np.int64)[rows.codes]
        if (labels < 0).any():
            raise self._unknown_label(split, int(np.flatnonzero(labels < 0)[0]))
        images = NamedFiles(self._folder(split), rows.paths)
        return Split(split, self.splits[split], images, labels, self.metric)

    def _folder(self, split: str) -> Path:
        """What the paths in a split's table start from."""
        return self.images or self.paths[split].parent

    def _rows(self, split: str) -> Rows:
        if split not in self._read:
            paths, cells = read_columns(self.paths[split], self.columns)
            labels, codes = np.unique(np.array(cells, dtype=object), return_inverse=True)
            self._read[split] = Rows(as_names(paths), labels.tolist(), codes)
        return self._read[split]

    def _missing_images(self) -> list[Missing]:
        files_in = cache(_files_in)
        absent = {split: absent_rows(self._folder(split), self._rows(split).paths, files_in) for split in self.splits}
        count, total = sum(map(len, absent.values())), sum(len(self._rows(split).paths) for split in self.splits)
        for split, rows in absent.items():
            if rows:
                first = self._folder(split) / os.fsdecode(self._rows(split).paths[rows[0]])
                source = f"row {rows[0] + 1} of {self.paths[split]} ({count} of the {total} images listed are absent)"
                return [Missing(first, source)]
        return []

    def _unknown_label(self, split: str, row: int) -> InputError:
        rows = self._rows(split)
        label = rows.labels[rows.codes[row]]
        known = "dataset.class_names" if isinstance(self.given_names, dict) else str(self.paths["train"])
        return InputError(
            f"{self.paths[split]}: row {row + 1} below the header: found label {show(label)}; "
            f"expected one of those in {known}: {listed(self.classes)}{nearest(label, self.classes)}"
        )


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels sorted as numbers when all of them are whole numbers, so that 10 comes after 2, else alphabetically."""
    labels = sorted(labels)
    return sorted(labels, key=int) if all(map(_WHOLE_NUMBER.fullmatch, labels)) else labels


def absent_rows(base: Path, paths: Iterable[bytes], files_in: Callable[[str], set[str]]) -> list[int]:
    """Which of `paths`, which start from `base`, are no files: from one look at each folder.

    On a network disk, a look at each of a million files would take many minutes.
    """
    absent = []
    for row, path in enumerate(paths):
        folder, name = os.path.split(os.path.join(base, os.fsdecode(path)))
        # The second look is for file systems that find a name in another spelling, e.g. of its accents.
        if name not in files_in(folder) and not os.path.isfile(os.path.join(folder, name)):
            absent.append(row)
    return absent


def _files_in(folder: str) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder) if entry.is_file()}
    except OSError:
        return set()
