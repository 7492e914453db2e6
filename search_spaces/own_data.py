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
from flyp_sweep.search_spaces.errors import nearest
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
from flyp_sweep.search_spaces.roles import REPORTED, SHIFTED

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
Metric = Literal["accuracy", "mean_per_class_accuracy", "macro_f1", "worst_group_accuracy"]
Among = Literal["all", "present", "own"]
"""Predictions on a split are among all classes, among those of which it has images, or among classes of its own, which
training does not have."""


class HeldOut(Section):
    """Images that are held out of the training split, for data without such a split.

    Each image is drawn by its name and `seed`.
    """

    split: Literal["train"] = Field(alias="from", description="train")
    """The split from which images are held out."""
    fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="a number between 0 and 1, as in 0.1"
    )
    """The share of each class that is held out. Either `fraction` or `folds` is required."""
    folds: Annotated[Count, Field(ge=2)] | None = Field(default=None, description="a whole number, 2 or more")
    """The number of folds. Each fold validates in turn, in a data set of its own. Only for `id_val`."""
    fold: Annotated[Count, Field(ge=1)] | None = Field(default=None, description="the number of a fold, from 1")
    """The one fold that validates. Left out: all folds in turn."""
    seed: Annotated[Count, Field(ge=0)] = Field(default=0, description="a whole number, 0 or more")
    """The seed of the draw. The draw depends on this seed and on the names of the files alone."""
    stratified: bool = Field(default=True, description="true or false")
    """`false` draws the share from all images together, whatever their classes."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.fold is not None and (self.folds is None or self.fold > self.folds):
            expected = "it beside folds" if self.folds is None else f"one of the {self.folds} folds, 1 to {self.folds}"
            raise mismatch(self.fold, expected, at=("fold",))
        if (self.fraction is None) == (self.folds is None):
            found = "neither fraction nor folds" if self.folds is None else "fraction and folds"
            raise FieldError(problem(found, "one of them"))
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        share = {"fraction": self.fraction, "folds": self.folds, "fold": self.fold}
        given = {key: value for key, value in share.items() if value is not None}
        return {"from": self.split, **given, "seed": self.seed, "stratified": self.stratified}


Place = Annotated[Annotated[Text, Tag(TEXT)] | Annotated[HeldOut, Tag(MAPPING)], Discriminator(shape)]
"""Where a split is, in the words of a reader, or how it is held out of the training split."""
ID_VAL = "a path, or {from: train, fraction: 0.1} to hold out a tenth of train"


class Splits(Section):
    """Where the images of each split are told: paths as written, not yet resolved, or names that a reader knows.

    Data that are only evaluated on may lack the splits of a training.
    """

    train: Text | None = Field(default=None, description="a path")
    """Training images. Required for training."""
    id_val: Place | None = Field(default=None, description=ID_VAL)
    """ID validation: all selection uses these images alone. Required for training."""
    id_test: Place | None = Field(default=None, description=ID_VAL)
    """ID test: reported, never selected on."""
    ood_val: dict[Text, Text] = Field(default={}, description="a mapping from labels to paths, as in {north: north}")
    """OOD validation, by labels of yours: reported in columns of its own, never selected on, no part of the mean
    OOD."""
    ood: dict[Text, Text] = Field(default={}, description="a mapping from labels to paths, as in {sketch: data/sketch}")
    """OOD sets, by labels of yours: reported, never selected on. The mean OOD is the mean over these."""

    @property
    def roles(self) -> dict[str, str]:
        """Split -> its role, in the order of `reported` columns."""
        own = {split: split for split in SPLITS if getattr(self, split) is not None}
        return own | {label: role for role in SHIFTED for label in getattr(self, role)}

    @property
    def shifted(self) -> dict[str, str]:
        """Label -> place, of OOD validation and OOD."""
        return {**self.ood_val, **self.ood}

    @model_validator(mode="after")
    def _labels_are_free(self) -> Self:
        for role in SHIFTED:
            for label in getattr(self, role):
                if label in SPLITS:
                    raise mismatch(label, f"a label that is no other split: not {', '.join(SPLITS)}", at=(role,))
                if role == "ood" and label in self.ood_val:
                    raise mismatch(label, "a label that ood_val does not have", at=(role,))
        return self

    @model_validator(mode="after")
    def _held_out_of_something(self) -> Self:
        for split in ("id_val", "id_test"):
            if isinstance(getattr(self, split), HeldOut) and self.train is None:
                raise FieldError(problem("no train", "the split that it is held out of"), at=(split, "from"))
        if isinstance(self.id_test, HeldOut) and self.id_test.folds is not None:
            raise mismatch(self.id_test.folds, "a fraction: folds are for id_val", at=("id_test", "folds"))
        return self


class OwnDataset(Section):
    """Data of the user's own. A subclass is a reader's part of the YAML: its `key` tells where the images are.

    Without a `metric`, data to train on have `accuracy`, data to evaluate on that of the model's data set.
    """

    key: ClassVar[str]
    """The key that tells this reader's data sets from those of others."""
    splits_key: ClassVar[str]
    """The key of `sources`; empty where these stand beside the reader's own key."""

    name: Name
    """The name of the data set in cells and tables."""
    class_names: ClassNames = None
    """Class names for prompts: a list in the natural order of the classes, or class -> name. Left out: the classes' own
    names, with underscores as spaces."""
    templates: Templates = PLAIN_TEMPLATES
    """Prompt templates. The class name replaces `{}`."""
    metric: Metric | None = None
    """The primary metric, by which everything is selected. Left out: `accuracy`; under `evaluate` the metric of the
    model's data set."""
    predict_among: dict[Text, Among] = Field(
        default={}, description="a mapping from reported splits to all, present or own, as in {renditions: present}"
    )
    """Split -> the classes among which its images are predicted. `all`: the classes of training. `present`: those that
    the split has. `own`: the split's own classes, which training lacks."""

    @property
    @abstractmethod
    def sources(self) -> Splits:
        """Where each split is."""

    @model_validator(mode="after")
    def _splits_are_known(self) -> Self:
        reported = [split for split, role in self.sources.roles.items() if role in REPORTED]
        for split in self.predict_among:
            if split not in reported:
                expected = f"one of {', '.join(reported)}" if reported else "nothing, as there is no id_test or ood"
                raise mismatch(split, expected, nearest(split, reported), at=("predict_among",))
        return self

    def to_train_on(self) -> Self:
        """The same, with the metric that training needs. Raises FieldError where a split of a training is absent."""
        for split, expected in (("train", "a path"), ("id_val", ID_VAL)):
            if getattr(self.sources, split) is None:
                described = type(self.sources).model_fields[split].description or expected
                raise FieldError(problem("nothing", described), at=self.at(split))
        return self if self.metric else self.model_copy(update={"metric": "accuracy"})

    def parts(self) -> tuple[str, dict[str, Self]]:
        """The data sets that it stands for, by what each is called, and what tells them apart: a key of `family.KINDS`.

        Empty for a data set that stands for itself alone. No file is looked at.
        """
        held = self.sources.id_val
        if not isinstance(held, HeldOut) or held.folds is None or held.fold is not None:
            return "", {}
        numbers = range(1, held.folds + 1)
        return "fold", {f"fold {one}": self._validated_on(held.model_copy(update={"fold": one})) for one in numbers}

    def _validated_on(self, held: HeldOut) -> Self:
        """The data set of one fold."""
        given = {"name": f"{self.name}-fold{held.fold}"}
        if "id_val" in type(self).model_fields:
            return self.model_copy(update={**given, "id_val": held})
        splits = getattr(self, self.splits_key).model_copy(update={"id_val": held})
        return self.model_copy(update={**given, self.splits_key: splits})

    def at(self, split: str) -> tuple[str, ...]:
        """Where the YAML says where a split is."""
        return (split,) if split in type(self).model_fields else (self.splits_key, split)
