"""A data set of the user's own, described in the search space: image folders, or tables of paths and labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_serializer,
    model_validator,
)

from flyp_sweep.search_spaces.complaints import FieldError, mismatch, one_of, problem
from flyp_sweep.search_spaces.errors import nearest
from flyp_sweep.search_spaces.fields import (
    FOLDERS,
    LIST,
    MAPPING,
    TABLES,
    TEXT,
    FromList,
    Section,
    Slug,
    Text,
    Unique,
    repeated,
    shape,
)

SPLITS = ("train", "id_val", "id_test")
TABLE_FILES = (".csv", ".tsv", ".parquet")


def _check_template(template: str) -> str:
    if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
        raise mismatch(template, "exactly one {} for the class name and no other braces, as in 'a photo of a {}.'")
    return template


def _check_display_names(names: dict[str, str]) -> dict[str, str]:
    for name in repeated(names.values()):
        raise mismatch(name, "every display name once")
    return names


Name = Annotated[Slug, Field(description="a name of a-z, 0-9, '_', '.' and '-'")]
ClassNames = Annotated[
    Annotated[
        Annotated[tuple[Text, ...], FromList, Unique, Field(min_length=2), Tag(LIST)]
        | Annotated[dict[Text, Text], Field(min_length=2), AfterValidator(_check_display_names), Tag(MAPPING)],
        Discriminator(shape),
    ]
    | None,
    Field(description="at least 2 texts, or a mapping from at least 2 classes to texts"),
]
"""Display names, in the sorted order of the classes or keyed by class; None takes the classes' own names with
underscores as spaces."""
Templates = Annotated[
    tuple[Annotated[Text, AfterValidator(_check_template)], ...],
    FromList,
    Unique,
    Field(min_length=1, description="a list of texts, each with one {} for the class name"),
]
Metric = Literal["accuracy", "mean_per_class_accuracy", "macro_f1"]


class HeldOut(Section):
    """A split that is held out of another, for those who have none: this fraction of each class."""

    split: Literal["train"] = Field(alias="from", description="train")
    fraction: Annotated[float, Field(gt=0, lt=1)] = Field(description="a number between 0 and 1, as in 0.1")

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {"from": self.split, "fraction": self.fraction}


IdVal = Annotated[Annotated[Text, Tag(TEXT)] | Annotated[HeldOut, Tag(MAPPING)], Discriminator(shape)]
_ID_VAL = "a path, or {from: train, fraction: 0.1} to hold out a tenth of train"


class Splits(Section):
    """Where the images of each split are told. The paths are as written, not yet resolved.

    Data that are only evaluated on may lack the splits of a training.
    """

    train: Text | None = Field(default=None, description="a path")
    id_val: IdVal | None = Field(default=None, description=_ID_VAL)
    id_test: Text | None = Field(default=None, description="a path")
    ood: dict[Text, Text] = Field(default={}, description="a mapping from labels to paths, as in {sketch: data/sketch}")

    @model_validator(mode="after")
    def _labels_are_free(self) -> Self:
        for label in self.ood:
            if label in SPLITS:
                raise mismatch(label, f"a label that is no other split: not {', '.join(SPLITS)}", at=("ood",))
        return self


class Folders(Splits):
    """A folder for each split: in it one sub-folder per class."""

    train: Text = Field(description="a path")
    id_val: IdVal = Field(description=_ID_VAL)


class EvaluatedTables(Splits):
    """A file for each split: a table with a row per image."""

    @model_validator(mode="after")
    def _kinds_are_known(self) -> Self:
        named = {(split,): getattr(self, split) for split in SPLITS} | {("ood", key): self.ood[key] for key in self.ood}
        for at, path in named.items():
            if isinstance(path, str) and PurePath(path).suffix.lower() not in TABLE_FILES:
                raise mismatch(path, f"the path of a {one_of(TABLE_FILES)} file", at=at)
        return self


class Tables(EvaluatedTables):
    """The same, to train on."""

    train: Text = Field(description="a path")
    id_val: IdVal = Field(description=_ID_VAL)


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


class EvaluatedFolderDataset(Section):
    """Image folders to evaluate on; the classes are the sub-folders, and without a `metric` the model's data set's is
    taken."""

    name: Name
    folders: Splits
    class_names: ClassNames = None
    templates: Templates = ("a photo of a {}.",)
    metric: Metric | None = None


class FolderDataset(EvaluatedFolderDataset):
    """A data set in image folders; its classes are the sub-folders."""

    folders: Folders
    metric: Metric = "accuracy"


class EvaluatedTableDataset(Section):
    """Tables of paths and labels to evaluate on; as `EvaluatedFolderDataset` otherwise.

    Relative paths in the tables start from the folder `images`, or, without it, from the table's own folder.
    """

    name: Name
    tables: EvaluatedTables
    columns: Columns = Columns()
    images: Text | None = Field(default=None, description="the path of a folder")
    class_names: ClassNames = None
    templates: Templates = ("a photo of a {}.",)
    metric: Metric | None = None


class TableDataset(EvaluatedTableDataset):
    """A data set in tables of paths and labels; its classes are the labels."""

    tables: Tables
    metric: Metric = "accuracy"


OwnDataset = FolderDataset | TableDataset
EvaluatedDataset = EvaluatedFolderDataset | EvaluatedTableDataset
"""Data of the user's own that are only evaluated on, or those of an OwnDataset."""

_SOURCES = {"folders": FOLDERS, "tables": TABLES}
"""The key that tells where the images are -> the tag of the model that has it."""


def _sources(value: Mapping[Any, Any] | BaseModel) -> list[str]:
    """Which of the keys that tell where the images are `value` has; without any, one that a key of it resembles."""
    if isinstance(value, BaseModel):
        return [key for key in _SOURCES if hasattr(value, key)]
    meant = [key for key in _SOURCES if any(isinstance(found, str) and nearest(found, [key]) for found in value)]
    return [key for key in _SOURCES if key in value] or meant[:1]


def _check_source(value: Any) -> Any:
    found = _sources(value)
    if len(found) != 1:
        both_or_none = " and ".join(found) if found else f"neither {' nor '.join(_SOURCES)}"
        raise FieldError(problem(both_or_none, f"one of them: {one_of(_SOURCES)}"))
    return value


_BY_SOURCE = Discriminator(lambda value: _SOURCES[_sources(value)[0]])
AnyOwnDataset = Annotated[
    Annotated[FolderDataset, Tag(FOLDERS)] | Annotated[TableDataset, Tag(TABLES)],
    _BY_SOURCE,
    BeforeValidator(_check_source),
]
"""An OwnDataset, told apart by where its images are, so that an error speaks of one of them only."""
AnyEvaluatedDataset = Annotated[
    Annotated[EvaluatedFolderDataset, Tag(FOLDERS)] | Annotated[EvaluatedTableDataset, Tag(TABLES)],
    _BY_SOURCE,
    BeforeValidator(_check_source),
]
"""The same of an EvaluatedDataset."""
