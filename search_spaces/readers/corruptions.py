"""Grids of corruptions and severities, as ImageNet-C (folders) and CIFAR-10-C (arrays) have them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from flyp_sweep.search_spaces.complaints import FieldError, problem
from flyp_sweep.search_spaces.fields import Count, FromList, Text, Unique
from flyp_sweep.search_spaces.own_data import OwnDataset, Splits


class CorruptionDataset(OwnDataset):
    """A grid of corruptions and severities: one OOD split, which has the data set's own name.

    Every image belongs to the group `corruption/severity`. The folder holds files `corruption/severity/class/image`, or
    arrays `corruption.npy` and `labels.npy`.
    """

    key: ClassVar[str] = "corruptions"
    splits_key: ClassVar[str] = ""

    corruptions: Text = Field(description="the path of a folder with a folder or an array for each corruption")
    """The folder of a grid of corruptions, as ImageNet-C or CIFAR-10-C has it. Only under `evaluate`."""
    only: Annotated[tuple[Text, ...], FromList, Unique, Field(min_length=1)] | None = Field(
        default=None, description="a list of corruptions, as in [fog, snow]"
    )
    """The corruptions that are evaluated. Left out: all."""
    severities: Annotated[tuple[Annotated[Count, Field(ge=1)], ...], FromList, Unique, Field(min_length=1)] | None = (
        Field(default=None, description="a list of severities, as in [1, 3, 5]")
    )
    """The severities that are evaluated. Left out: all."""

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        _ = self.sources  # whose own checks see the name
        return self

    @property
    def sources(self) -> Splits:
        return Splits(ood={self.name: self.corruptions})

    def to_train_on(self) -> Self:
        expected = "a data set to train on; a grid of corruptions is one to evaluate on, in `evaluate`"
        raise FieldError(problem("corruptions", expected))
