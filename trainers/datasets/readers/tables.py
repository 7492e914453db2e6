"""Your own data: a table per split with the path and the label of every image, described in the YAML."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.complaints import counted, one_of, show
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.tables import TableDataset
from flyp_sweep.search_spaces.roles import SHIFTED
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.absent_files import absent_rows, files_in, spelt_otherwise
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.class_labels import in_order, listed, resembling, several_in_one, spelt
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names
from flyp_sweep.trainers.datasets.own import WORST_GROUP, OwnData
from flyp_sweep.trainers.datasets.table_files import check_cells, read_columns

IN_COLUMN = {"train": ("train",), "id_val": ("id_val", "val", "valid", "validation"), "id_test": ("id_test", "test")}
"""Split -> its accepted names in the column of splits; for an OOD set, its label. Case is ignored."""

FEWEST_ROWS = 10
"""A training table of at most this many rows may have one class per row."""


@dataclass(frozen=True)
class Rows:
    """The rows of a table: paths as written, bytes [N], distinct labels, and the label index of each row, int64 [N].

    `numbers`, int64 [N], are row numbers from 1, below the header. `empty` counts blank rows. `groups` and `captions`
    are texts [N], None if the table has no such column.
    """

    paths: np.ndarray
    labels: list[str]
    codes: np.ndarray
    numbers: np.ndarray
    empty: int
    groups: list[str] | None = None
    captions: list[str] | None = None

    def first_with(self, label: str) -> int:
        """The number of the first row with this label."""
        return int(self.numbers[np.argmax(self.codes == self.labels.index(label))])


class ImageTables(OwnData):
    """A table per split with a row per image; `table_files` lists the supported formats.

    Paths in a table start from `images`; without `images`, from the table's folder.
    """

    entry_type: ClassVar[type[OwnDataset]] = TableDataset
    summary = "tables of paths and labels, one per split"

    def __init__(self, entry: TableDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        self.columns = entry.columns
        self.images = None if entry.images is None else self.resolve(entry.images)
        self._read: dict[str, Rows] = {}
        self._unused: dict[Path, Counter[str]] = {}
        """Table -> the values in its column of splits that belong to no split, and their number of rows."""
        self._sizes: dict[Path, int] = {}
        """Table -> its rows."""
        self._taken: dict[str, list[str]] = {}
        """Split -> the names of its rows in the column of splits, if it has several accepted names there."""
        self._again: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def missing(self) -> list[Missing]:
        """The absent tables and folder of images; if none is absent, the first absent image.

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
        numbers = {name: label for label, name in enumerate(self.classes_of(split))}
        labels = np.array([numbers.get(name, -1) for name in rows.labels], dtype=np.int64)[rows.codes]
        if (labels < 0).any():
            raise self._unknown_label(split, int(np.flatnonzero(labels < 0)[0]))
        images = NamedFiles(self.base(split), rows.paths, shown_as=self.shown_as)
        return Split(split, self.splits[split], images, labels, self.metric, captions=rows.captions)

    def left_out(self, split: str) -> str:
        empty = self._rows(split).empty
        return counted(empty, "empty row") if empty else ""

    def check_classes(self) -> None:
        """As for all own data; also checks that labels are plausible classes, and that each image has one label."""
        table, rows = self.paths["train"], self._rows("train")
        if self.given_names is None and FEWEST_ROWS < len(rows.labels) == len(rows.codes):
            raise InputError(
                f"{table}: found another {self.columns.label} in each of the {len(rows.codes)} rows; expected those of "
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
        for split, names in self._taken.items():
            lines.append(f"{split}: found no row of split {spelt(split)}; took those of {listed(names)}")
        lines += [*self._left_over(), *self._without_groups()]
        for split in self.paths:
            if self.columns.caption and self._rows(split).captions is None:
                lines.append(f"{split}: found no column {show(self.columns.caption)}: retrieval is not evaluated on it")
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
        """The rows of a split ordered by image, int64 [N]; and, bool [N - 1], whether a row repeats the previous
        image."""
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
        """The folder that a split's image paths start from."""
        return self.images or self.paths[split].parent

    def groups_of(self, split: str) -> Sequence[str] | None:
        return self._rows(split).groups

    def _rows(self, split: str) -> Rows:
        if split not in self._read:
            table, columns = self.paths[split], self.columns
            found = read_columns(table, *self._asked(split))
            cells = {name: np.array(one, dtype=object) for name, one in zip(found.names, found.cells, strict=True)}
            own = self._own_rows(split, cells, found.numbers)
            held, numbers = {name: values[own] for name, values in cells.items()}, found.numbers[own]
            grouped = columns.groups if all(name in held for name in columns.groups) else ()
            for name in dict.fromkeys([*columns.path_parts[1::2], columns.label, *grouped]):
                check_cells(table, name, held[name], numbers)
            labels, codes = np.unique(held[columns.label], return_inverse=True)
            paths = as_names(_joined(columns.path_parts, held))
            groups = named_groups(grouped, held) if grouped else None
            captions = held[columns.caption].tolist() if columns.caption in held else None
            self._check_captions(table, captions or [], numbers)
            self._read[split] = Rows(paths, labels.tolist(), codes, numbers, found.empty, groups, captions)
            self._sizes[table] = len(found.numbers)
        return self._read[split]

    def _check_captions(self, table: Path, captions: list[str], numbers: np.ndarray) -> None:
        blank = [row for row, text in enumerate(captions) if not text.strip()]
        if blank:
            raise InputError(
                f"{table}: row {numbers[blank[0]]} below the header: found no {self.columns.caption}; expected a text "
                "for each image; write one, or remove the row"
            )

    def _asked(self, split: str) -> tuple[list[str], list[str]]:
        """The columns that the table of a split must have, and those that it may have.

        A table of a single split may lack the column of splits: all rows belong to the split. OOD sets may lack groups,
        unless their metric needs groups. Tables that training does not read may lack captions.
        """
        columns, role = self.columns, self.splits[split]
        wanted, optional = [*columns.path_parts[1::2], columns.label], list[str]()
        if isinstance(columns.split, str):
            several = list(self.paths.values()).count(self.paths[split]) > 1
            (wanted if several else optional).append(columns.split)
        else:
            wanted += self._conditions(split)
        (optional if role in SHIFTED and self.metric != WORST_GROUP else wanted).extend(columns.groups)
        if columns.caption is not None:
            (wanted if split in self.fitted else optional).append(columns.caption)
        return list(dict.fromkeys(wanted)), [name for name in dict.fromkeys(optional) if name not in wanted]

    def _conditions(self, split: str) -> Mapping[str, Sequence[str]]:
        """The column values that select the rows of a split. A held-out split has the conditions of train.

        Raises InputError if a split without conditions shares its table with other splits.
        """
        rules = self.columns.split
        assert not isinstance(rules, str)
        told = "train" if split in self.held else split
        if rules is None or told in rules:
            return (rules or {}).get(told, {})
        others = [one for one, path in self.paths.items() if path == self.paths[split] and one not in (split, told)]
        if others:
            raise InputError(
                f"dataset.columns.split: found nothing of {split}, which shares the table {self.paths[split]} with "
                f"{', '.join(others)}; expected the values of its rows, as in {{{split}: {{column: value}}}}"
            )
        return {}

    def _own_rows(self, split: str, cells: Mapping[str, np.ndarray], numbers: np.ndarray) -> np.ndarray:
        """The rows of a table, int64 [N], that belong to a split. Raises InputError if there are none."""
        column = self.columns.split
        if not isinstance(column, str):
            return self._rows_with(split, cells, len(numbers))
        if column not in cells:
            return np.arange(len(numbers))
        check_cells(self.paths[split], column, cells[column], numbers)
        return self._rows_named(split, cells[column].tolist())

    def _rows_with(self, split: str, cells: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """The rows that meet the conditions of a split."""
        rules = self._conditions(split)
        met = np.ones(count, dtype=bool)
        for column, values in rules.items():
            met &= np.isin([cell.strip() for cell in cells[column]], values)
        if not met.any():
            wanted = " and ".join(f"{column} {one_of(values)}" for column, values in rules.items())
            have = "; ".join(f"{column}: {listed(in_order({*cells[column]}))}" for column in rules)
            raise InputError(f"{self.paths[split]}: found no row of {split}, with {wanted}; its values are {have}")
        return np.flatnonzero(met)

    def _rows_named(self, split: str, of: list[str]) -> np.ndarray:
        """The rows whose value in the column of splits, `of`, names the split.

        A held-out split takes rows of train. Alternative names count only if no row has the split's own name, and if
        the name does not mean another split: in WILDS, for example, id_val exists beside val, which is OOD.
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
                f"{table}: found no row of {split} among the values of {self.columns.split}: {listed(sorted({*of}))}; "
                f"expected {' or '.join(used[split])}, or conditions in dataset.columns.split"
            )
        if len(used[split]) > 2:
            self._taken[split] = sorted({named[row] for row in rows})
        known = {name for names in used.values() for name in names}
        self._unused[table] = Counter(value for value, name in zip(of, named, strict=True) if name not in known)
        return rows

    def _left_over(self) -> Iterator[str]:
        """Tables with rows that meet the conditions of no split, one remark each."""
        for table, size in self._sizes.items() if isinstance(self.columns.split, dict) else ():
            own = [self._rows(split).numbers for split, path in self.paths.items() if path == table]
            if unused := size - len(np.unique(np.concatenate(own))):
                yield f"{table}: not used: {counted(unused, 'row')} that dataset.columns.split gives to no split"

    def _without_groups(self) -> Iterator[str]:
        """Splits without groups, if other splits have groups, one remark each."""
        for split, role in self.splits.items():
            if self.columns.groups and role in SHIFTED and self._rows(split).groups is None:
                lacking = " or ".join(self.columns.groups)
                yield f"{split}: {self.paths[split]} has no column {lacking}: its images have no groups"

    def _missing_images(self) -> list[Missing]:
        inside = cache(files_in)
        absent = {split: absent_rows(self.base(split), self._rows(split).paths, inside) for split in self.paths}
        count, total = sum(map(len, absent.values())), sum(len(self._rows(split).paths) for split in self.paths)
        for split, found in absent.items():
            if found:
                rows = self._rows(split)
                first = self.base(split) / os.fsdecode(rows.paths[found[0]])
                source = (
                    f"row {rows.numbers[found[0]]} of {self.paths[split]} ({count} of the {total} images listed are "
                    f"absent{spelt_otherwise(first, inside)})"
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
            f"{resembling(label, self.classes) or nearest(label, self.classes) or self.if_new(split)}"
        )


def _joined(parts: Sequence[str], cells: Mapping[str, np.ndarray]) -> Iterable[str]:
    """Paths, joined from alternating texts and columns."""
    if len(parts) == 3 and not parts[0] and not parts[2]:
        return cells[parts[1]]
    values = zip(*(cells[name] for name in parts[1::2]), strict=True)
    return ("".join(itertools.chain(*zip(parts[::2], (*row, ""), strict=True))) for row in values)


def named_groups(columns: Sequence[str], cells: Mapping[str, np.ndarray]) -> list[str]:
    """The group of each row: the value of a single column, or `y=0,place=1` for several columns."""
    if len(columns) == 1:
        return [cell.strip() for cell in cells[columns[0]]]
    rows = zip(*(cells[name] for name in columns), strict=True)
    return [",".join(f"{name}={cell.strip()}" for name, cell in zip(columns, row, strict=True)) for row in rows]
