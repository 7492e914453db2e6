"""Your own data: a Hugging Face data set, on the hub or in a folder, described in the YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from flyp_sweep.search_spaces.complaints import counted, one_line, show
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.hub import HubDataset
from flyp_sweep.search_spaces.roles import SHIFTED
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.arrow_images import images_in, opened
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.class_labels import listed, resembling, spelt
from flyp_sweep.trainers.datasets.hub_files import ArrowSplit, HubPlace
from flyp_sweep.trainers.datasets.own import WORST_GROUP, OwnData
from flyp_sweep.trainers.datasets.readers.tables import named_groups

if TYPE_CHECKING:
    import pyarrow as pa

CALLED = {
    "train": ("train", "training"),
    "id_val": ("validation", "valid", "val", "dev"),
    "id_test": ("test", "testing"),
}
"""Split -> publishers' names for it. If the data set lacks the name in the search space, but has exactly one of the
others, that one is taken."""


@dataclass(frozen=True)
class Labels:
    """The labels of a split: the distinct ones, in the publisher's order if there is one, and the index of each
    row's."""

    names: list[str]
    codes: np.ndarray


class HubImages(OwnData):
    """A Hugging Face data set with an image and a label per row. Rows count from 0, as on the hub."""

    entry_type: ClassVar[type[OwnDataset]] = HubDataset
    summary = "a Hugging Face data set"

    def __init__(self, entry: HubDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        self.place = HubPlace(entry.hub, entry.config, entry.revision, root)
        self.image, self.label, self.caption = entry.image, entry.label, entry.caption
        self.groups = entry.groups
        self._labels: dict[str, Labels] = {}

    def missing(self) -> list[Missing]:
        if self.place.is_folder or self.place.commit() is not None:
            return []
        if not self.place.is_repository:
            return [Missing(self.place.folder, f"dataset.hub of {self.name!r} in the search space")]
        return [Missing(Path(self.place.place), "the Hugging Face hub, by `flyp-sweep data prepare SPACE.yaml`")]

    def fetch(self, say: Any) -> bool:
        """See `Dataset.fetch`. Downloads into `hub` below the root, through the hub's cache, which resumes
        downloads."""
        if not self.place.is_repository:
            return False
        say(f"fetching {self.place.place} from the Hugging Face hub")
        self.place.fetch()
        return True

    def where(self, split: str) -> str:
        return f"{self.place.folder if self.place.is_folder else self.place.place} {self._published(split)}"

    def labels_of(self, split: str) -> list[str]:
        labels = self._labels_in(split)
        used = np.bincount(labels.codes, minlength=len(labels.names)) > 0
        return [name for name, is_used in zip(labels.names, used, strict=True) if is_used]

    def ordered(self, labels: Sequence[str]) -> list[str]:
        """The order of the ClassLabel feature, if there is one; else as for all own data."""
        order = self._class_names(self.fitted[0], self.label)
        if order is None or not set(labels) <= set(order):
            return super().ordered(labels)
        places = {name: place for place, name in enumerate(order)}
        return sorted(labels, key=places.__getitem__)

    def read(self, split: str) -> Split:
        found, numbers = self._labels_in(split), {name: label for label, name in enumerate(self.classes_of(split))}
        labels = np.array([numbers.get(name, -1) for name in found.names], dtype=np.int64)[found.codes]
        if (labels < 0).any():
            raise self._unknown_label(split, found, int(np.flatnonzero(labels < 0)[0]))
        own = self._split(split)
        chunks = self._column(split, self.image)
        try:
            images = images_in(own.files, chunks, self.image, self.where(split), self.shown_as)
        except TypeError as error:
            raise InputError(
                f"{self.where(split)}: found {error} in column {show(self.image)}; expected encoded images; "
                "name their column as dataset.image"
            ) from error
        return Split(split, self.splits[split], images, labels, self.metric, captions=self._captions(split))

    def groups_of(self, split: str) -> Sequence[str] | None:
        """As in `OwnData`. An OOD split may lack the columns, unless the metric needs groups."""
        lacking = set(self.groups) - set(self._split(split).features)
        if not self.groups or (lacking and self.splits[split] in SHIFTED and self.metric != WORST_GROUP):
            return None
        cells = {name: np.array(self._texts(split, name), dtype=object) for name in self.groups}
        for name, values in cells.items():
            if blank := [row for row, value in enumerate(values) if not value.strip()]:
                raise InputError(
                    f"{self.where(split)}: row {blank[0]}: found no {name}; expected a group for each image; "
                    "name another column as dataset.group"
                )
        return named_groups(self.groups, cells)

    def _captions(self, split: str) -> list[str] | None:
        """The caption of each row. Raises InputError for a row without one. Evaluated splits may lack the column."""
        lacking = self.caption not in self._split(split).features
        if self.caption is None or (lacking and split not in (*self.fitted, *self.held)):
            return None
        captions = self._texts(split, self.caption)
        blank = [row for row, text in enumerate(captions) if not text.strip()]
        if blank:
            raise InputError(
                f"{self.where(split)}: row {blank[0]}: found no {self.caption}; expected a text for each image; "
                "name another column as dataset.caption"
            )
        return captions

    def left_out(self, split: str) -> str:
        return ""

    def remarks(self) -> list[str]:
        lines = super().remarks()
        if self.caption is not None:
            lacking = [split for split in self.sources if self.caption not in self._split(split).features]
            lines += [
                f"{split}: found no column {show(self.caption)}: retrieval is not evaluated on it" for split in lacking
            ]
        names, used = self._class_names(self.fitted[0], self.label) or [], {*self.classes}
        if unused := [name for name in names if name not in used]:
            lines.append(f"not used as classes, because {self.whole} has no image of them: {listed(unused)}")
        return lines

    def particulars(self) -> list[str]:
        """The commit of the hub's data set, and the splits that it has by another name."""
        commit = None if self.place.is_folder else self.place.commit()
        lines = [f"{self.place.place} of the Hugging Face hub, commit {commit}"] if commit else []
        for split, wanted in self.sources.items():
            if split not in self.held and (taken := self._published(split)) != wanted:
                lines.append(f"{split}: found no split {spelt(wanted)}; took {spelt(taken)}")
        return lines

    @cached_property
    def _all(self) -> dict[str, ArrowSplit]:
        return self.place.splits()

    def _published(self, split: str) -> str:
        """The publisher's name of a split. Raises InputError if the data set has no such split."""
        wanted, known = self.sources[split], list(self._all)
        if wanted in known:
            return wanted
        usual = CALLED.get("train" if split in self.held else split, ())
        others = [name for name in usual if name in known] if wanted in usual else []
        if len(others) != 1:
            hint = f" (or {split}: {{from: train, fraction: 0.1}})" if split in ("id_val", "id_test") else ""
            raise InputError(
                one_line(
                    f"dataset.splits of {self.name!r}: found {show(wanted)} as {split}; expected one of those of "
                    f"{self.place.place}: {listed(known)}"
                )
                + (nearest(wanted, known) or hint)
            )
        return others[0]

    def _split(self, split: str) -> ArrowSplit:
        return self._all[self._published(split)]

    def _column(self, split: str, name: str) -> list[pa.Array]:
        """A column of a split, in the chunks of its files."""
        own = self._split(split)
        if name not in own.features:
            raise InputError(
                one_line(f"{self.where(split)}: found no column {show(name)} among {listed(list(own.features))}; ")
                + f"expected it, or another name as {self._key_of(name)}{nearest(name, own.features)}"
            )
        return [chunk for file in own.files for chunk in opened(file).column(name).chunks]

    def _texts(self, split: str, name: str) -> list[str]:
        """A column as texts: class labels by name, empty for null.

        Raises InputError for a column of lists or other nested values.
        """
        import pyarrow as pa

        column, names = pa.chunked_array(self._column(split, name)), self._class_names(split, name)
        if names is not None:
            codes = column.fill_null(-1).to_pylist()
            return [names[code] if 0 <= code < len(names) else "" for code in codes]
        try:
            return column.cast(pa.string()).fill_null("").to_pylist()
        except pa.ArrowException as error:
            raise InputError(
                f"{self.where(split)}: found {column.type} in column {show(name)}; expected one text or number for "
                f"each image; name another column as {self._key_of(name)}"
            ) from error

    def _key_of(self, column: str) -> str:
        """The YAML key that names a column."""
        keys = {self.image: "image", self.label: "label", self.caption: "caption"}
        return f"dataset.{keys.get(column, 'group')}"

    def _class_names(self, split: str, column: str) -> list[str] | None:
        """The names of a column's numbers, if its feature is ClassLabel."""
        names = getattr(self._split(split).features.get(column), "names", None)
        return None if names is None else list(names)

    def _labels_in(self, split: str) -> Labels:
        if split not in self._labels:
            self._labels[split] = self._read_labels(split)
        return self._labels[split]

    def _read_labels(self, split: str) -> Labels:
        import pyarrow as pa

        chunks = self._column(split, self.label)
        if not sum(map(len, chunks)):
            raise InputError(f"{self.where(split)}: found no row; expected one for each image")
        column = pa.chunked_array(chunks)
        names = self._class_names(split, self.label)
        if names is not None:
            codes = column.fill_null(-1).to_numpy().astype(np.int64)
            self._check_labelled(split, (codes < 0) | (codes >= len(names)), column)
            return Labels(names, codes)
        texts = np.array(self._texts(split, self.label), dtype=object)
        none = ["", "-1"] if pa.types.is_integer(column.type) else [""]
        self._check_labelled(split, np.isin(texts, none), column)
        found, codes = np.unique(texts, return_inverse=True)
        return Labels(found.tolist(), codes)

    def _check_labelled(self, split: str, wrong: np.ndarray, column: pa.ChunkedArray) -> None:
        """Raise InputError for rows without a label: hub data sets mark secret test labels by -1."""
        if wrong.any():
            first = int(wrong.argmax())
            raise InputError(
                one_line(
                    f"{self.where(split)}: row {first}: found label {show(column[first].as_py())}, which is none, in "
                    f"{counted(int(wrong.sum()), 'row')} of {len(wrong):,}; expected a class for each image; "
                )
                + "name another split or column, or leave this split out"
            )

    def _unknown_label(self, split: str, labels: Labels, row: int) -> InputError:
        label = labels.names[labels.codes[row]]
        known = "dataset.class_names" if isinstance(self.given_names, dict) else self.whole
        return InputError(
            f"{self.where(split)}: row {row}: found label {spelt(label)}; expected one of those in {known}: "
            f"{listed(self.classes)}"
            f"{resembling(label, self.classes) or nearest(label, self.classes) or self.if_new(split)}"
        )
