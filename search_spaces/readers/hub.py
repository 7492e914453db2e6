"""Hugging Face data sets: a repository of the hub, or a folder in a form that the hub's libraries write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from flyp_sweep.search_spaces.complaints import mismatch
from flyp_sweep.search_spaces.fields import Text
from flyp_sweep.search_spaces.json_schema import name_is_optional
from flyp_sweep.search_spaces.own_data import OwnDataset, Place, Splits
from flyp_sweep.search_spaces.readers.tables import GROUPS, Group

SPLIT = "the name of a split"
ID_VAL = "the name of a split, or {from: train, fraction: 0.1} to hold out a tenth of train"


class HubSplits(Splits):
    """The publisher's name of each split."""

    train: Text | None = Field(default=None, description=SPLIT)
    id_val: Place | None = Field(default=None, description=ID_VAL)
    id_test: Place | None = Field(default=None, description=ID_VAL)
    ood_val: dict[Text, Text] = Field(
        default={}, description="a mapping from labels to names of splits, as in {north: north}"
    )
    ood: dict[Text, Text] = Field(
        default={}, description="a mapping from labels to names of splits, as in {sketch: sketch}"
    )


class HubDataset(OwnDataset):
    """A data set of the Hugging Face hub. Its default name is the last part of `hub`."""

    model_config = ConfigDict(json_schema_extra=name_is_optional)
    key: ClassVar[str] = "hub"
    splits_key: ClassVar[str] = "splits"

    hub: Text = Field(description="a repository of the Hugging Face hub, as in org/name, or the path of a folder")
    """The data set on the Hugging Face hub, or a folder that the hub's libraries wrote."""
    config: Text | None = Field(default=None, description="the name of a configuration of the repository")
    """The configuration of the repository. Left out: its default."""
    revision: Text | None = Field(default=None, description="a branch, a tag or a commit of the repository")
    """The version of the repository. Left out: the newest."""
    splits: HubSplits | None = Field(
        default=None, description="a mapping such as {train: train, id_val: validation, id_test: test}"
    )
    """Split -> the publisher's name. Left out: `train`, `validation` and `test`; under `evaluate` `test` alone."""
    image: Text = Field(default="image", description="the name of a column")
    """The column of images."""
    label: Text = Field(default="label", description="the name of a column")
    """The column of labels."""
    group: Group = Field(default=None, description=GROUPS)
    """The column of groups. The accuracy of each group and the lowest of these are recorded."""
    caption: Text | None = Field(default=None, description="the name of a column")
    """The column of captions. Contrastive methods train on them, and retrieval is evaluated."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "name" not in data and isinstance(data.get("hub"), str):
            last = data["hub"].rstrip("/").rpartition("/")[2].lower()
            if name := re.sub(r"[^a-z0-9_.-]+", "-", last).lstrip("-."):
                return {"name": name[:100], **data}
        return data

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        if self.image == self.label:
            raise mismatch(self.label, "another column than that of the images", at=("label",))
        if self.caption in (self.image, self.label):
            raise mismatch(self.caption, "another column than those of images and labels", at=("caption",))
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns that make a group."""
        return (self.group,) if isinstance(self.group, str) else self.group or ()

    @property
    def sources(self) -> Splits:
        return self.splits or HubSplits(id_test="test")

    def to_train_on(self) -> Self:
        usual = HubSplits(train="train", id_val="validation", id_test="test")
        whole = self if self.splits else self.model_copy(update={"splits": usual})
        return super(HubDataset, whole).to_train_on()
