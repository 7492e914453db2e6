"""Grids of corruptions and severities, as ImageNet-C (folders) and CIFAR-10-C (arrays) have them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from flyp_sweep.search_spaces.complaints import FieldError, problem
from flyp_sweep.search_spaces.fields import Count, FromList, Text, Unique
from flyp_sweep.search_spaces.own_data import OwnDataset, Splits


class CorruptionDataset(OwnDataset):
    """One OOD split, of the data set's own name: every image belongs to a group `corruption/severity`.

    Below the folder `corruptions` lie `corruption/severity/class/image` files, or arrays `corruption.npy` and
    `labels.npy`. `only` and `severities` take a part of the grid.
    """

    key: ClassVar[str] = "corruptions"
    splits_key: ClassVar[str] = ""

    corruptions: Text = Field(description="the path of a folder with a folder or an array for each corruption")
    """A grid of corruptions and severities, in the form of ImageNet-C or CIFAR-10-C."""
    only: Annotated[tuple[Text, ...], FromList, Unique, Field(min_length=1)] | None = Field(
        default=None, description="a list of corruptions, as in [fog, snow]"
    )
    """The corruptions to evaluate on. Without it, all."""
    severities: Annotated[tuple[Annotated[Count, Field(ge=1)], ...], FromList, Unique, Field(min_length=1)] | None = (
        Field(default=None, description="a list of severities, as in [1, 3, 5]")
    )
    """The severities to evaluate on. Without it, all."""

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
