"""Tables of paths and labels: a file for each split, in it a row per image."""

from __future__ import annotations

from pathlib import PurePath
from typing import ClassVar, Self

from pydantic import Field, model_validator

from flyp_sweep.search_spaces.complaints import mismatch, one_of
from flyp_sweep.search_spaces.fields import Section, Text
from flyp_sweep.search_spaces.own_data import SPLITS, OwnDataset, Splits

TABLE_FILES = (".csv", ".tsv", ".parquet")


class Tables(Splits):
    """A file for each split."""

    @model_validator(mode="after")
    def _kinds_are_known(self) -> Self:
        named = {(split,): getattr(self, split) for split in SPLITS} | {("ood", key): self.ood[key] for key in self.ood}
        for at, path in named.items():
            if isinstance(path, str) and PurePath(path).suffix.lower() not in TABLE_FILES:
                raise mismatch(path, f"the path of a {one_of(TABLE_FILES)} file", at=at)
        return self


class Columns(Section):
    """Which columns of the tables hold the paths of the images, their labels, their captions, if any, and, where one
    table serves several splits, the split of each image."""

    path: Text = Field(default="path", description="the name of a column")
    label: Text = Field(default="label", description="the name of a column")
    split: Text | None = Field(default=None, description="the name of a column")
    caption: Text | None = Field(default=None, description="the name of a column")

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        if self.path == self.label:
            raise mismatch(self.label, "another column than that of the paths", at=("label",))
        if self.split in (self.path, self.label):
            raise mismatch(self.split, "another column than those of paths and labels", at=("split",))
        if self.caption is not None and self.caption in (self.path, self.label, self.split):
            raise mismatch(self.caption, "another column than those of paths, labels and splits", at=("caption",))
        return self


class TableDataset(OwnDataset):
    """A data set in tables of paths and labels; its classes are the labels of the training split.

    Relative paths in the tables start from the folder `images`, or, without it, from the table's own folder.
    """

    key: ClassVar[str] = "tables"
    splits_key: ClassVar[str] = "tables"

    tables: Tables
    columns: Columns = Columns()
    images: Text | None = Field(default=None, description="the path of a folder")

    @property
    def sources(self) -> Splits:
        return self.tables
