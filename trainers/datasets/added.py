"""Adds the splits of one data set as OOD splits of another, which has all of its classes, or predicts new ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.own_data import SPLITS
from flyp_sweep.search_spaces.roles import REPORTED, SHIFTED
from flyp_sweep.trainers.datasets.base import Added, Dataset
from flyp_sweep.trainers.datasets.class_labels import are_numbers, listed, matched, plain, spelt
from flyp_sweep.trainers.datasets.own import OwnData


def add(bases: Sequence[Dataset], others: Sequence[Dataset]) -> None:
    """Add the splits of `others` to those of `bases` that have their classes.

    Raises InputError if none of the `bases` can take one of the `others`, with the classes that all of them lack.
    """
    for other in others:
        unknown = {base.name: extend(base, other) for base in bases if base.name != other.name}
        if all(unknown.values()):
            name, missing = min(unknown.items(), key=lambda found: len(found[1]))
            count = "1 class" if len(missing) == 1 else f"{len(missing):,} classes"
            raise InputError(
                f"evaluate: found {count} of data set {other.name!r} that {name!r} does not have: "
                f"{listed([spelt(one) for one in missing])}; expected classes that the models are trained on"
                f"{_numbered(other)}{_on_its_own(other)}"
            )


def _numbered(other: Dataset) -> str:
    """Advice if classes are known only by number."""
    if isinstance(other, OwnData) and other.given_names is None and are_numbers(other.classes):
        return f"; name those of {other.name!r} in its class_names, in the order of their numbers"
    return ""


def _on_its_own(other: Dataset) -> str:
    """How the splits can still be scored, if their YAML entry allows it."""
    if not isinstance(other, OwnData):
        return ""
    splits = [split for split, role in other.splits.items() if role in REPORTED]
    return f"; or give it predict_among: {{{splits[0]}: own}}, for methods that predict by prompts" if splits else ""


def extend(base: Dataset, other: Dataset) -> list[str]:
    """Add the reported splits of `other` to `base`. If `base` lacks classes, returns these and adds nothing.

    Two classes are the same if their display names differ at most in case, spaces, zeros and Unicode form, or if own
    data without display names uses the ids of `base`. The splits get the name of `other`; OOD and OOD validation splits
    get `other-split`, unless they are named like `other`. OOD validation keeps its role. Raises InputError for names in
    use, for two classes of `other` that match one of `base`, and for an `other` without such splits.
    """
    if base.name == other.name:
        return []
    metric = base.metric if isinstance(other, OwnData) and other.given_metric is None else None
    splits = dict.fromkeys(other.named("id_test"), other.name)
    shifted = [split for role in SHIFTED for split in other.named(role) if split not in other.added]
    splits |= {split: split if split == other.name else f"{other.name}-{split}" for split in shifted}
    labels = np.empty(0, dtype=np.int64)
    if not (isinstance(other, OwnData) and splits and all(other.among.get(split) == "own" for split in splits)):
        found = _labels_in(base, other)
        if lacking := [name for name, label in zip(other.class_names, found, strict=True) if label is None]:
            return lacking
        labels = np.array(found, dtype=np.int64)
    if not splits or not other.class_names:
        what = "no class" if splits else "neither id_test nor ood nor ood_val"
        raise InputError(f"evaluate: found {what} in data set {other.name!r}; expected images to evaluate on")
    if len(labels):
        _check_distinct(base, other, labels)
    for split, name in splits.items():
        if name in (*SPLITS, *base.splits):
            raise InputError(
                f"evaluate: found a split {name!r} of data set {base.name!r} already; expected none of the name that "
                f"{split} of {other.name!r} gets; give that data set another name"
            )
        role = "ood_val" if other.splits[split] == "ood_val" else "ood"
        base.add(Added(name, other, split, labels, len(base.class_names), metric, role))
    return []


def _labels_in(base: Dataset, other: Dataset) -> list[int | None]:
    """The label in `base` of each class of `other`; None for a class that `base` lacks."""
    ids = {plain(name): label for label, name in enumerate(base.class_ids)}
    if isinstance(other, OwnData) and other.given_names is None and other.classes:
        own = [ids.get(plain(name)) for name in other.classes]
        if None not in own:
            return own
    try:
        return matched(other.class_names, base.class_names)
    except ValueError as error:
        raise InputError(
            f"evaluate: found the class {str(error)!r} in data set {other.name!r}, which {base.name!r} has several "
            "times; expected classes in the same order, which tells them apart"
        ) from error


def _check_distinct(base: Dataset, other: Dataset, labels: np.ndarray) -> None:
    counts = np.bincount(labels)
    if counts.max() > 1:
        label = int(counts.argmax())
        both = [other.class_names[at] for at in np.flatnonzero(labels == label).tolist()]
        raise InputError(
            f"evaluate: found the classes {listed([spelt(one) for one in both])} in data set {other.name!r}, which are "
            f"all {spelt(base.class_names[label])} of {base.name!r}; expected every class once"
        )


def remarks(dataset: Dataset) -> list[str]:
    """Remarks about the added splits for the user, one line each."""
    lines = []
    for name, added in dataset.added.items():
        if isinstance(added.origin, OwnData) and (left_out := added.origin.left_out(added.split)):
            lines.append(f"{name}: left out {left_out}")
    origins = dict.fromkeys(one.origin for one in dataset.added.values() if isinstance(one.origin, OwnData))
    return lines + [f"{origin.name}: {line}" for origin in origins for line in origin.particulars()]
