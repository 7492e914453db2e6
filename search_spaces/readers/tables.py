"""Tables of paths and labels: a file for each split, in it a row per image."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from flyp_sweep.search_spaces.complaints import mismatch, one_of
from flyp_sweep.search_spaces.errors import nearest
from flyp_sweep.search_spaces.fields import LIST, MAPPING, TEXT, FromList, Section, Text, Unique, shape
from flyp_sweep.search_spaces.own_data import SPLITS, OwnDataset, Splits
from flyp_sweep.search_spaces.roles import SHIFTED

TABLE_FILES = (".csv", ".tsv", ".parquet")
BRACED = re.compile(r"\{([^{}]+)\}")
"""A column within a text."""


class Tables(Splits):
    """A file for each split."""

    @model_validator(mode="after")
    def _kinds_are_known(self) -> Self:
        shifted = {(role, label): path for role in SHIFTED for label, path in getattr(self, role).items()}
        named = {(split,): getattr(self, split) for split in SPLITS} | shifted
        for at, path in named.items():
            if isinstance(path, str) and PurePath(path).suffix.lower() not in TABLE_FILES:
                raise mismatch(path, f"the path of a {one_of(TABLE_FILES)} file", at=at)
        return self


def _as_texts(value: Any) -> Any:
    """One value or several, each as a table holds it; anything else is left for the check of types."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in values)


def _check_path(path: str) -> str:
    if set("{}") & set(BRACED.sub("", path)):
        raise mismatch(path, "the name of a column, or a text with columns in braces, as in {folder}/{id}.png")
    return path


Values = Annotated[
    tuple[Text, ...],
    BeforeValidator(_as_texts, json_schema_input_type=str | int | list[str | int]),
    Field(min_length=1, description="a text or whole number, or a list of these"),
]
Condition = Annotated[dict[Text, Values], Field(min_length=1)]
_CONDITIONS = "the name of a column, or conditions for each split, as in {train: {split: 0}, id_val: {split: 1}}"
GROUPS = "the name of a column, or a list of these, whose combinations of values are the groups"
Group = (
    Annotated[
        Annotated[Text, Tag(TEXT)] | Annotated[tuple[Text, ...], FromList, Unique, Field(min_length=1), Tag(LIST)],
        Discriminator(shape),
    ]
    | None
)


class Columns(Section):
    """Which column of a table holds what, and, if several splits share a table, what tells these apart."""

    path: Annotated[Text, AfterValidator(_check_path)] = Field(
        default="path", description="the name of a column, or a text with columns in braces"
    )
    """The column of image paths. Columns in braces are put together to a path, as in `{folder}/{id}.png`."""
    label: Text = Field(default="label", description="the name of a column")
    """The column of labels."""
    split: (
        Annotated[
            Annotated[Text, Tag(TEXT)] | Annotated[dict[Text, Condition], Field(min_length=1), Tag(MAPPING)],
            Discriminator(shape),
        ]
        | None
    ) = Field(default=None, description=_CONDITIONS)
    """What tells splits of one table apart: a column that names the split of each row, or split -> {column: values of
    its rows}."""
    group: Group = Field(default=None, description=GROUPS)
    """The column of groups. The accuracy of each group and the lowest of these are recorded."""
    caption: Text | None = Field(default=None, description="the name of a column")
    """The column of captions. Contrastive methods train on them, and retrieval is evaluated."""

    @property
    def path_parts(self) -> list[str]:
        """What a path is put together of: a text, a column, a text, and so on to a text."""
        parts = BRACED.split(self.path)
        return parts if len(parts) > 1 else ["", self.path, ""]

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns that make a group."""
        return (self.group,) if isinstance(self.group, str) else self.group or ()

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        if self.path == self.label:
            raise mismatch(self.label, "another column than that of the paths", at=("label",))
        if self.split in (self.path, self.label):
            raise mismatch(self.split, "another column than those of paths and labels", at=("split",))
        return self


class TableDataset(OwnDataset):
    """Tables of paths and labels. The classes are the labels of the training split."""

    key: ClassVar[str] = "tables"
    splits_key: ClassVar[str] = "tables"

    tables: Tables
    """Split -> its `.csv`, `.tsv` or `.parquet` file, with a row per image."""
    columns: Columns = Columns()
    """Which column holds what."""
    images: Text | None = Field(default=None, description="the path of a folder")
    """The folder from which relative paths in the tables start. Left out: each table's own folder."""

    @property
    def sources(self) -> Splits:
        return self.tables

    @model_validator(mode="after")
    def _splits_have_tables(self) -> Self:
        known = list(self.sources.roles)
        for split in self.columns.split if isinstance(self.columns.split, dict) else ():
            if split not in known:
                raise mismatch(split, f"one of {', '.join(known)}", nearest(split, known), at=("columns", "split"))
        return self
