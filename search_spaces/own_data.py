"""A data set of the user's own, described in the search space: image folders for each split."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from search_spaces.complaints import mismatch
from search_spaces.fields import LIST, MAPPING, FromList, Section, Slug, Text, Unique, repeated, shape

SPLITS = ("train", "id_val", "id_test")


def _check_template(template: str) -> str:
    if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
        raise mismatch(template, "exactly one {} for the class name and no other braces, as in 'a photo of a {}.'")
    return template


Template = Annotated[Text, AfterValidator(_check_template)]


class Folders(Section):
    """Where the images of each split lie: one sub-folder per class. The paths are as written, not yet resolved."""

    train: Text = Field(description="the path of a folder")
    id_val: Text = Field(description="the path of a folder")
    id_test: Text | None = Field(default=None, description="the path of a folder")
    ood: dict[Text, Text] = Field(
        default={}, description="a mapping from labels to paths of folders, as in {sketch: data/sketch}"
    )

    @model_validator(mode="after")
    def _labels_are_free(self) -> Self:
        for label in self.ood:
            if label in SPLITS:
                raise mismatch(label, f"a label that is no other split: not {', '.join(SPLITS)}", at=("ood",))
        return self


class OwnDataset(Section):
    """A data set in image folders.

    `class_names` are display names, listed in the alphabetical order of the class folders or keyed by folder; None
    takes the folder names with underscores as spaces. Other sources of images become models of their own, told apart
    by the key that stands in the place of `folders`.
    """

    name: Slug = Field(description="a name of a-z, 0-9, '_', '.' and '-'")
    folders: Folders
    class_names: (
        Annotated[
            Annotated[tuple[Text, ...], FromList, Unique, Field(min_length=2), Tag(LIST)]
            | Annotated[dict[Text, Text], Field(min_length=2), Tag(MAPPING)],
            Discriminator(shape),
        ]
        | None
    ) = Field(default=None, description="at least 2 texts, or a mapping from at least 2 folder names to texts")
    templates: Annotated[tuple[Template, ...], FromList, Unique] = Field(
        default=("a photo of a {}.",), min_length=1, description="a list of texts, each with one {} for the class name"
    )
    metric: Literal["accuracy", "mean_per_class_accuracy", "macro_f1"] = "accuracy"

    @model_validator(mode="after")
    def _display_names_differ(self) -> Self:
        if isinstance(self.class_names, dict):
            for name in repeated(self.class_names.values()):
                raise mismatch(name, "every display name once", at=("class_names",))
        return self
