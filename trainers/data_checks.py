"""Checks of a data set before a sweep: absent files, classes, numbers of images, unreadable images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.inspection import Found, Say, look_through, skip_unreadable
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.class_labels import listed
from flyp_sweep.trainers.datasets.own import OwnData

if TYPE_CHECKING:
    from flyp_sweep.trainers.data.images import Preprocess


def check_splits(dataset: Dataset, space: SearchSpace, allow_incomplete: bool) -> dict[str, int]:
    """Split -> number of images. Raises InputError for classes and image counts that training cannot use."""
    check_classes(dataset)
    counts = dataset.counts()
    if not allow_incomplete:
        check_complete(dataset, counts)
    check_shots(dataset, space)
    return counts


def check_images(dataset: Dataset, space: SearchSpace, say: Say, views: Sequence[Preprocess] = ()) -> Found:
    """Decode all images, and compare them as `views` show them.

    Raises InputError for images that cannot be decoded, unless `space` leaves such images out.
    """
    cache = Cache.of_machine()
    found = look_through(dataset, cache, say, views)
    if space.images.unreadable == "refuse":
        found.check(dataset.name)
    else:
        skip_unreadable(dataset, cache)
    return found


def check_classes(dataset: Dataset) -> None:
    """Raise InputError for implausible classes of the user's own data; published data sets are not checked."""
    if isinstance(dataset, OwnData) and dataset.named("train"):
        dataset.check_classes()


def check_files(dataset: Dataset) -> None:
    """Raise InputError when a file of `dataset` is absent."""
    missing = dataset.missing()
    if missing:
        others = [str(one.path) for one in missing[1:]]
        more = f", and {len(others)} more: {listed(others)}" if others else ""
        raise InputError(
            f"dataset {dataset.name!r}: found no {missing[0].path} ({missing[0].source}){more}; "
            "give the folder of the data sets by --data-root or FLYP_SWEEP_DATA; a run does not store it"
        )


def by_role(dataset: Dataset, counts: Mapping[str, int]) -> Counter[str]:
    """Split role -> number of images, from `counts`: split -> number of images."""
    images = Counter[str]()
    for split, count in counts.items():
        images[dataset.splits[split]] += count
    return images


def incomplete(dataset: Dataset, counts: Mapping[str, int], seen: Found | None = None) -> dict[str, dict[str, int]]:
    """Incomplete split -> its counts: images `found`, `published` if they differ, and `unreadable` if any are left
    out."""
    wrong: dict[str, dict[str, int]] = {}
    for split, found in counts.items():
        if found != dataset.published.get(split, found):
            wrong[split] = {"found": found, "published": dataset.published[split]}
        if seen and split in seen.unreadable:
            wrong[split] = wrong.get(split, {"found": found}) | {"unreadable": len(seen.unreadable[split])}
    return wrong


def check_complete(dataset: Dataset, counts: Mapping[str, int]) -> None:
    """Raise InputError if a split of `dataset` does not hold the published number of images."""
    wrong = incomplete(dataset, counts)
    for split, images in wrong.items():
        more = f"; {counted(len(wrong) - 1, 'more such split')}" if len(wrong) > 1 else ""
        raise InputError(
            f"dataset {dataset.name!r}: split {split!r}: found {counted(images['found'], 'image')}; "
            f"expected {images['published']:,}, as published{more}; "
            f"complete the copy in {dataset.root}; --allow-incomplete goes on"
        )


def few_shot_groups(dataset: Dataset, space: SearchSpace) -> Iterator[str]:
    """A remark if few-shot cells select by a worst group and their draws may lack groups."""
    shots = [one for one in space.shots_list if one is not None]
    if dataset.metric == "worst_group_accuracy" and shots:
        groups = len(dataset.split(dataset.named("train" if dataset.one_pool else "id_val")[0]).group_names)
        yield (
            f"shots: {counted(min(shots), 'image')} of each class validate, whatever the group; selection sees the "
            f"worst of those of the {groups} groups that are drawn"
        )


def check_shots(dataset: Dataset, space: SearchSpace) -> None:
    """Raise InputError if a class has too few images for the shots, or a full-data cell has no `id_val` split."""
    own_id_val = dataset.named("id_val")
    for shots in space.shots_list:
        if shots is None:
            if not own_id_val:
                raise InputError(f"dataset {dataset.name!r} has no id_val split, which a cell without shots needs")
            continue
        if dataset.few_shot_draw(shots, seed=0) is not None:
            continue
        need = {"train": 2 * shots} if dataset.one_pool else {"train": shots, "id_val": shots}
        for role, images in need.items():
            labels = dataset.split(dataset.named(role)[0]).labels
            counts = np.bincount(labels)
            scarce = int(np.where(counts > 0, counts, counts.max() + 1).argmin())
            if counts[scarce] < images:
                both = ", from which a few-shot cell draws its validation images too" if dataset.one_pool else ""
                raise InputError(
                    f"{space.where('shots')}: shots: found {shots}; class {dataset.class_names[scarce]!r} of "
                    f"{dataset.name!r} has {counted(counts[scarce], 'image')} in {role}{both}, "
                    f"so shots can be at most {counts[scarce] * shots // images}"
                )
