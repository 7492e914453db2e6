"""Data sets of torchvision: a class of `torchvision.datasets`, and what it calls its splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Discriminator, Field, StrictBool, StrictInt, Tag, model_validator

from flyp_sweep.search_spaces.fields import NUMBER, TEXT, Text, shape
from flyp_sweep.search_spaces.json_schema import name_is_optional
from flyp_sweep.search_spaces.own_data import OwnDataset, Place, Splits

SPLIT = "a split as torchvision calls it, as in train, or all where it has none"
ID_VAL = "a split as torchvision calls it, or {from: train, fraction: 0.1} to hold out a tenth of train"
Option = Annotated[
    Annotated[Text, Tag(TEXT)] | Annotated[StrictBool | StrictInt, Tag(NUMBER)],
    Discriminator(shape),
    Field(description="a text, a whole number, true or false"),
]


class TorchvisionSplits(Splits):
    """What torchvision calls each split."""

    train: Text | None = Field(default=None, description=SPLIT)
    id_val: Place | None = Field(default=None, description=ID_VAL)
    id_test: Place | None = Field(default=None, description=ID_VAL)


class TorchvisionDataset(OwnDataset):
    """A data set that a class of torchvision reads. Its default name is that of the class, in small letters."""

    model_config = ConfigDict(json_schema_extra=name_is_optional)
    key: ClassVar[str] = "torchvision"
    splits_key: ClassVar[str] = "splits"

    torchvision: Text = Field(description="the name of a class of torchvision.datasets, as in DTD")
    """The class of torchvision that reads the data. Each image must have one label."""
    splits: TorchvisionSplits
    """Split -> torchvision's name of it. Required for training: `train` and `id_val`."""
    options: dict[Text, Option] = Field(
        default={}, description="a mapping of arguments of the class, as in {partition: 2}"
    )
    """Further arguments of the class."""
    root: Text | None = Field(default=None, description="the path of a folder")
    """The folder in which torchvision looks. Left out: `--data-root`."""

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_class(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "name" not in data and isinstance(kind := data.get("torchvision"), str):
            return {"name": kind.lower(), **data}
        return data

    @property
    def sources(self) -> Splits:
        return self.splits
