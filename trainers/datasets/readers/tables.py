"""Your own data: a table per split with the path and the label of every image, described in the YAML."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.complaints import counted, show
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.tables import TableDataset
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.class_labels import listed, resembling, several_in_one, spelt
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names
from flyp_sweep.trainers.datasets.own import OwnData
from flyp_sweep.trainers.datasets.table_files import check_cells, read_columns

IN_COLUMN = {"train": ("train",), "id_val": ("id_val", "val", "valid", "validation"), "id_test": ("id_test", "test")}
"""Split -> what the column of splits may call it, an OOD set by its label; case does not count."""

FEWEST_ROWS = 10
"""Rows of a training table that may well have a class each."""


@dataclass(frozen=True)
class Rows:
    """The rows of a table: paths as written, bytes [N]; its distinct labels; int64 [N], which of these each row has.

    `numbers`, int64 [N], count them from 1, below the header; `empty` more rows hold nothing. `captions` are N texts;
    None: the table has no column of them.
    """

    paths: np.ndarray
    labels: list[str]
    codes: np.ndarray
    numbers: np.ndarray
    empty: int
    captions: list[str] | None = None

    def first_with(self, label: str) -> int:
        """The number of the first row with this label."""
        return int(self.numbers[np.argmax(self.codes == self.labels.index(label))])


class ImageTables(OwnData):
    """A table per split, in it a row per image; see `table_files` for the kinds of files.

    Paths in a table start from `images`, or, without it, from the table's own folder.
    """

    entry_type: ClassVar[type[OwnDataset]] = TableDataset
    summary = "tables of paths and labels, one per split"

    def __init__(self, entry: TableDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        self.columns = (entry.columns.path, entry.columns.label)
        self.split_column = entry.columns.split
        self.caption_column = entry.columns.caption
        self.images = None if entry.images is None else self.resolve(entry.images)
        self._read: dict[str, Rows] = {}
        self._unused: dict[Path, Counter[str]] = {}
        """Table -> the values of its column of splits that no split has, and how many rows have each."""
        self._again: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def missing(self) -> list[Missing]:
        """The tables and the folder of images that are absent; when there are none, the first absent image.

        Raises InputError for a table that cannot be read.
        """
        where = f"of {self.name!r} in the search space"
        found = self.places().items()
        absent = [Missing(path, self.told(split)) for path, split in found if not os.path.isfile(path)]
        if self.images is not None and not os.path.isdir(self.images):
            absent.append(Missing(self.images, f"dataset.images {where}"))
        return absent or self._missing_images()

    def labels_of(self, split: str) -> list[str]:
        return self._rows(split).labels

    def read(self, split: str) -> Split:
        rows = self._rows(split)
        numbers = {name: label for label, name in enumerate(self.classes)}
        labels = np.array([numbers.get(name, -1) for name in rows.labels], dtype=np.int64)[rows.codes]
        if (labels < 0).any():
            raise self._unknown_label(split, int(np.flatnonzero(labels < 0)[0]))
        images = NamedFiles(self.base(split), rows.paths, shown_as=self.shown_as)
        return Split(split, self.splits[split], images, labels, self.metric, captions=rows.captions)

    def left_out(self, split: str) -> str:
        empty = self._rows(split).empty
        return counted(empty, "empty row") if empty else ""

    def check_classes(self) -> None:
        """As of all own data; and labels are those of classes, one for each image."""
        table, rows = self.paths["train"], self._rows("train")
        if self.given_names is None and FEWEST_ROWS < len(rows.labels) == len(rows.codes):
            raise InputError(
                f"{table}: found another {self.columns[1]} in each of the {len(rows.codes)} rows; expected those of "
                "classes: name their column as dataset.columns.label, or the classes in dataset.class_names"
            )
        if not isinstance(self.given_names, dict):
            self._check_labels(table, rows)
        super().check_classes()
        for split in self.paths:
            self._check_one_label(split)

    def remarks(self) -> list[str]:
        lines = super().remarks()
        for table, unused in self._unused.items():
            lines += [f"{table}: not used: split {spelt(value)}, rows: {count}" for value, count in unused.items()]
        for split in self.paths:
            if self.caption_column and self._rows(split).captions is None:
                lines.append(f"{split}: found no column {show(self.caption_column)}: there is no retrieval on it")
            order, again = self._repeated(split)
            if again.any():
                found = counted(again.sum(), "row")
                lines.append(f"{split}: found {found} of {len(order):,} with an image that the table lists already")
        return lines

    def _check_labels(self, table: Path, rows: Rows) -> None:
        for label in rows.labels:
            if label.strip().casefold() == "nan":
                raise InputError(
                    f"{table}: row {rows.first_with(label)} below the header: found label {spelt(label)}, which "
                    "programs write for a missing value; remove the row, or name the class in dataset.class_names"
                )
        if several := several_in_one(rows.labels):
            raise InputError(
                f"{table}: row {rows.first_with(several[0])} below the header: found label {spelt(several[0])}, and "
                f"{spelt(several[1])} is a class too; expected one class for each image"
            )

    def _repeated(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a split ordered by image, int64 [N]; which of them, bool [N - 1], have that of the one before."""
        if split not in self._again:
            folder, paths = os.fsencode(self.base(split)), self._rows(split).paths.tolist()
            images = np.array([os.path.normpath(os.path.join(folder, path)) for path in paths])
            order = np.argsort(images, kind="stable")
            self._again[split] = order, images[order][1:] == images[order][:-1]
        return self._again[split]

    def _check_one_label(self, split: str) -> None:
        rows = self._rows(split)
        order, again = self._repeated(split)
        wrong = np.flatnonzero(again & (rows.codes[order][1:] != rows.codes[order][:-1]))
        if len(wrong):
            first, second = order[wrong[0]], order[wrong[0] + 1]
            raise InputError(
                f"{self.paths[split]}: row {rows.numbers[second]} below the header: found label "
                f"{spelt(rows.labels[rows.codes[second]])} for an image with label "
                f"{spelt(rows.labels[rows.codes[first]])} in row {rows.numbers[first]}; expected one label an image"
            )

    def base(self, split: str) -> Path:
        """The folder that the paths of a split's images start from."""
        return self.images or self.paths[split].parent

    def _rows(self, split: str) -> Rows:
        if split not in self._read:
            table = self.paths[split]
            columns, every, empty = self._columns_of(split)
            own = np.arange(len(every))
            if self.split_column in columns:
                check_cells(table, self.split_column, columns[self.split_column], every)
                own = self._own_rows(split, columns[self.split_column].tolist())
            numbers = every[own]
            for name in self.columns:
                check_cells(table, name, columns[name][own], numbers)
            captions = columns[self.caption_column][own].tolist() if self.caption_column in columns else None
            self._check_captions(table, captions or [], numbers)
            paths, cells = (columns[name][own] for name in self.columns)
            labels, codes = np.unique(cells, return_inverse=True)
            self._read[split] = Rows(as_names(paths), labels.tolist(), codes, numbers, empty, captions)
        return self._read[split]

    def _columns_of(self, split: str) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
        """The columns of a split's table, all its rows, by name; the numbers of its rows; how many more are empty.

        A table of one split alone may lack the column of splits, and one that nothing is trained on that of captions.
        """
        several = list(self.paths.values()).count(self.paths[split]) > 1
        required = {self.split_column: several, self.caption_column: split in self.fitted}
        others = [name for name in required if name is not None]
        wanted = (*self.columns, *(name for name in others if required[name]))
        found = read_columns(self.paths[split], wanted, [name for name in others if not required[name]])
        cells = (np.array(column, dtype=object) for column in found.cells)
        return dict(zip(found.names, cells, strict=True)), found.numbers, found.empty

    def _check_captions(self, table: Path, captions: list[str], numbers: np.ndarray) -> None:
        blank = [row for row, text in enumerate(captions) if not text.strip()]
        if blank:
            raise InputError(
                f"{table}: row {numbers[blank[0]]} below the header: found no {self.caption_column}; expected a text "
                "for each image; write one, or remove the row"
            )

    def _own_rows(self, split: str, of: list[str]) -> np.ndarray:
        """The rows of a table, int64 [N], that belong to a split, `of` the split of each. Raises InputError for none.

        A split that is held out is drawn from the rows of train. A table of one split alone may lack the column: all is
        its. Other names of a split count where no row has its own, and none is that of another split: WILDS, for one,
        has id_val beside val, which is OOD.
        """
        table = self.paths[split]
        named = [value.strip().casefold() for value in of]
        called = IN_COLUMN | dict.fromkeys(self.held, IN_COLUMN["train"])
        used = {one: called.get(one, (one.casefold(),)) for one, path in self.paths.items() if path == table}
        taken = {one.casefold() for one in self.paths}
        for one, names in used.items():
            others = tuple(name for name in names if name == names[0] or name not in taken)
            used[one] = names[:1] if names[0] in named else others
        rows = np.flatnonzero(np.isin(named, used[split]))
        if not len(rows):
            raise InputError(
                f"{table}: found no row of {split} among the values of {self.split_column}: {listed(sorted({*of}))}; "
                f"expected {' or '.join(used[split])}"
            )
        known = {name for names in used.values() for name in names}
        self._unused[table] = Counter(value for value, name in zip(of, named, strict=True) if name not in known)
        return rows

    def _missing_images(self) -> list[Missing]:
        files_in = cache(_files_in)
        absent = {split: absent_rows(self.base(split), self._rows(split).paths, files_in) for split in self.paths}
        count, total = sum(map(len, absent.values())), sum(len(self._rows(split).paths) for split in self.paths)
        for split, found in absent.items():
            if found:
                rows = self._rows(split)
                first = self.base(split) / os.fsdecode(rows.paths[found[0]])
                source = (
                    f"row {rows.numbers[found[0]]} of {self.paths[split]} ({count} of the {total} images listed are "
                    f"absent{_spelt_otherwise(first, files_in)})"
                )
                return [Missing(first, source)]
        return []

    def _unknown_label(self, split: str, row: int) -> InputError:
        rows = self._rows(split)
        label = rows.labels[rows.codes[row]]
        known = "dataset.class_names" if isinstance(self.given_names, dict) else self.whole
        return InputError(
            f"{self.paths[split]}: row {rows.numbers[row]} below the header: found label {spelt(label)}; "
            f"expected one of those in {known}: {listed(self.classes)}"
            f"{resembling(label, self.classes) or nearest(label, self.classes)}"
        )


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


def _spelt_otherwise(path: Path, files_in: Callable[[str], set[str]]) -> str:
    """What to say of an absent file whose path is of another system, or whose name is there in another Unicode form or
    case."""
    if "\\" in path.name:
        return "; write / in place of \\ in paths"
    if any(part.endswith(":") for part in path.parts):
        return "; write a path in place of an address"
    wanted = unicodedata.normalize("NFC", path.name)
    for name in files_in(str(path.parent)):
        if unicodedata.normalize("NFC", name).casefold() == wanted.casefold():
            differs = "Unicode form" if unicodedata.normalize("NFC", name) == wanted else "case"
            return f"; there is {name!a}, whose name differs in {differs} from {path.name!a}"
    return ""


def _files_in(folder: str) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder) if entry.is_file()}
    except OSError:
        return set()
