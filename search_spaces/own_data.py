"""A data set of the user's own, described in the search space: what all readers of such data have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    model_serializer,
    model_validator,
)

from flyp_sweep.search_spaces.complaints import FieldError, mismatch, problem
from flyp_sweep.search_spaces.fields import (
    LIST,
    MAPPING,
    TEXT,
    Count,
    FromList,
    Section,
    Slug,
    Text,
    Unique,
    repeated,
    shape,
)

SPLITS = ("train", "id_val", "id_test")


def is_template(text: str) -> bool:
    """Whether `text` has one {} for the class name, and no other braces."""
    return text.count("{}") == 1 and not set("{}") & set(text.replace("{}", ""))


def _check_template(template: str) -> str:
    if not is_template(template):
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
PLAIN_TEMPLATES = ("a photo of a {}.",)
Metric = Literal["accuracy", "mean_per_class_accuracy", "macro_f1"]


class HeldOut(Section):
    """A split that is held out of another, for those who have none: this fraction of each class.

    Each image is drawn by its name and `seed`. With `stratified: false` the fraction is one of all images, whatever
    their classes.
    """

    split: Literal["train"] = Field(alias="from", description="train")
    fraction: Annotated[float, Field(gt=0, lt=1)] = Field(description="a number between 0 and 1, as in 0.1")
    seed: Annotated[Count, Field(ge=0)] = Field(default=0, description="a whole number, 0 or more")
    stratified: bool = Field(default=True, description="true or false")

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {"from": self.split, "fraction": self.fraction, "seed": self.seed, "stratified": self.stratified}


Place = Annotated[Annotated[Text, Tag(TEXT)] | Annotated[HeldOut, Tag(MAPPING)], Discriminator(shape)]
"""Where a split is, in the words of a reader, or how it is held out of the training split."""
ID_VAL = "a path, or {from: train, fraction: 0.1} to hold out a tenth of train"


class Splits(Section):
    """Where the images of each split are told: paths as written, not yet resolved, or names that a reader knows.

    Data that are only evaluated on may lack the splits of a training.
    """

    train: Text | None = Field(default=None, description="a path")
    id_val: Place | None = Field(default=None, description=ID_VAL)
    id_test: Place | None = Field(default=None, description=ID_VAL)
    ood: dict[Text, Text] = Field(default={}, description="a mapping from labels to paths, as in {sketch: data/sketch}")

    @model_validator(mode="after")
    def _labels_are_free(self) -> Self:
        for label in self.ood:
            if label in SPLITS:
                raise mismatch(label, f"a label that is no other split: not {', '.join(SPLITS)}", at=("ood",))
        return self

    @model_validator(mode="after")
    def _held_out_of_something(self) -> Self:
        for split in ("id_val", "id_test"):
            if isinstance(getattr(self, split), HeldOut) and self.train is None:
                raise FieldError(problem("no train", "the split that it is held out of"), at=(split, "from"))
        return self


class OwnDataset(Section):
    """Data of the user's own. A subclass is a reader's part of the YAML: its `key` tells where the images are.

    Without a `metric`, data to train on have `accuracy`, data to evaluate on that of the model's data set.
    """

    key: ClassVar[str]
    """The key that tells this reader's data sets from those of others."""
    splits_key: ClassVar[str]
    """The key of `sources`."""

    name: Name
    class_names: ClassNames = None
    templates: Templates = PLAIN_TEMPLATES
    metric: Metric | None = None

    @property
    @abstractmethod
    def sources(self) -> Splits:
        """Where each split is."""

    def to_train_on(self) -> Self:
        """The same, with the metric that training needs. Raises FieldError where a split of a training is absent."""
        for split, expected in (("train", "a path"), ("id_val", ID_VAL)):
            if getattr(self.sources, split) is None:
                described = type(self.sources).model_fields[split].description or expected
                raise FieldError(problem("nothing", described), at=(self.splits_key, split))
        return self if self.metric else self.model_copy(update={"metric": "accuracy"})
