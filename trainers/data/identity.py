"""The identity of a data set's content, down to the bytes of its images: one per split, independent of paths."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.roles import FITTED, SHIFTED
from flyp_sweep.trainers.data.content import Hashes, sizes
from flyp_sweep.trainers.datasets.base import Dataset, FromFiles, Images, Split
from flyp_sweep.trainers.datasets.class_labels import spelt
from flyp_sweep.trainers.datasets.encoded import Packed, called
from flyp_sweep.trainers.datasets.own import OwnData


@dataclass(frozen=True)
class Identity:
    """The identities of a data set: one for everything that training sees, and one for each split.

    `training` covers the images and labels of train and id_val, classes, templates and the selection metric. It does
    not cover ID test and OOD: those belong to evaluations. `overlaps` counts shared images: of two roles, such as
    `train and id_test`, or of several classes, such as `classes of train`.
    """

    training: str
    fitted: Mapping[str, str]
    evaluated: Mapping[str, str]
    overlaps: Mapping[str, int] = field(default_factory=dict)


def identify(dataset: Dataset, hashes: Hashes, allow_overlap: bool = False) -> Identity:
    """The identity of a data set, from the content of its files.

    Raises InputError for a file that cannot be read. Unless `allow_overlap`, it also raises for images of your own data
    that occur in two roles or two classes. Published splits are not compared with each other. Splits added from another
    data set are compared with the other roles, because their publishers have not compared them.
    """
    contents = {name: content_of(dataset.split(name).images, hashes) for name in dataset.splits}
    overlaps: dict[str, int] = {}
    own = [name for name in contents if isinstance(origin_of(dataset, name), OwnData)]
    for name in own:
        overlaps |= shared_by_classes(dataset, name, contents[name], allow_overlap)
    overlaps |= shared_images(dataset, contents, allow_overlap)
    found = {name: _split(dataset.split(name), contents[name], name in own) for name in dataset.splits}
    fitted = {name: one for name, one in found.items() if dataset.splits[name] in FITTED}
    parts = [dataset.name, list(dataset.class_names), list(dataset.templates), dataset.metric, sorted(fitted.items())]
    parts += [dataset.draws] if dataset.draws else []
    training = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return Identity(training, fitted, {name: one for name, one in found.items() if name not in fitted}, overlaps)


def origin_of(dataset: Dataset, split: str) -> Dataset:
    """The data set that a split comes from."""
    return dataset.added[split].origin if split in dataset.added else dataset


def content_of(images: Images, hashes: Hashes) -> np.ndarray:
    """The content hash of each image: of its bytes, or of its pixels if it has no file."""
    if isinstance(images, Packed):
        return hashes.of_packed(images)
    if isinstance(images, FromFiles):
        return hashes.of(images.files())
    return hashes.of_pixels(images)


def _split(split: Split, content: np.ndarray, own: bool) -> str:
    """The identity of a split. For the user's `own` data it covers group names, which name recorded accuracies."""
    digest = hashlib.sha256(json.dumps([split.metric, getattr(split.images, "decoding", "")]).encode())
    for part in (content, split.labels, split.class_map, split.groups):
        digest.update(b"-" if part is None else part.tobytes())
    if own and split.group_names:
        digest.update(json.dumps(split.group_names).encode())
    if split.captions is not None and split.role != "id_val":  # nothing reads captions of id_val
        digest.update(_texts(split.captions))
    if split.class_names is not None:
        digest.update(_texts([*split.class_names, *split.templates]))
    return digest.hexdigest()[:16]


def _texts(texts: Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps(list(texts)).encode()).digest()


def shared_by_classes(dataset: Dataset, split: str, content: np.ndarray, allow: bool) -> dict[str, int]:
    """The number of images of a split, with contents bytes [N], that have several labels; empty for none.

    Raises InputError if there are any, unless `allow`.
    """
    labels = dataset.split(split).labels
    order = np.lexsort((labels, content))
    again = (content[order][1:] == content[order][:-1]) & (labels[order][1:] != labels[order][:-1])
    if not again.any():
        return {}
    count = len(np.unique(content[order][1:][again]))
    if not allow:
        rows = order[np.flatnonzero(again)[0] :][:2].tolist()
        found = dataset.split(split)
        named = [found.class_of(dataset, int(labels[row])) for row in rows]
        first, second = (_file(dataset, split, row) for row in rows)
        raise InputError(
            f"dataset {dataset.name!r}: found {counted(count, 'image')} of {split} under two labels ("
            f"{first} of {spelt(named[0])} and {second} of {spelt(named[1])} have equal bytes); expected one label an "
            "image; remove all but one of each, or give --allow-overlap"
        )
    return {f"classes of {split}": count}


def shared_images(dataset: Dataset, contents: Mapping[str, np.ndarray], allow: bool) -> dict[str, int]:
    """The number of images that two roles share, by roles. Raises InputError if there are any, unless `allow`.

    Images are the same if their files have equal bytes, whatever their names. In a published data set, only added
    splits are compared with other roles.
    """
    roles: dict[str, list[str]] = {}
    published = not isinstance(dataset, OwnData)
    for split, role in dataset.splits.items():
        if not (published and role in SHIFTED and split not in dataset.added):
            roles.setdefault(role, []).append(split)
    shared = {}
    for one, other in combinations(roles, 2):
        if published and not {one, other} & {*SHIFTED}:
            continue
        held, places = _places(roles[one], contents), _places(roles[other], contents)
        both = [content for content in held if content in places]
        if not both:
            continue
        shared[f"{one} and {other}"] = len(both)
        if not allow:
            first, second = (_file(dataset, *where[both[0]]) for where in (held, places))
            same = f"{first} is in both" if first == second else f"{first} and {second} have equal bytes"
            copies = dataset.held_out and (one, other) == FITTED  # the held-out draw put them there, not the user
            cure = "delete all but one of each, as id_val is held out of train" if copies else "remove them from one"
            raise InputError(
                f"dataset {dataset.name!r}: found {counted(len(both), 'image')} that {one} and {other} share ({same}); "
                f"expected none: scores on images seen before mean nothing; {cure}, or give --allow-overlap"
            )
    return shared


def _places(splits: Iterable[str], contents: Mapping[str, np.ndarray]) -> dict[bytes, tuple[str, int]]:
    """Content -> a split and row with that content."""
    return {content: (split, row) for split in splits for row, content in enumerate(contents[split].tolist())}


def _file(dataset: Dataset, split: str, row: int) -> str:
    """An image's file name, or its row, for messages."""
    names = called(dataset.split(split).images)
    return names[row] if names else f"image {row} of {split}"


def outline(dataset: Dataset) -> str:
    """A hash of labels, classes, groups, captions and file sizes, to compare machines without reading images."""
    digest = hashlib.sha256(json.dumps([dataset.name, list(dataset.class_names), list(dataset.templates)]).encode())
    for part in _outlines(dataset):
        digest.update(part)
    return digest.hexdigest()[:16]


def _outlines(dataset: Dataset) -> Iterator[bytes]:
    for name in dataset.splits:
        split = dataset.split(name)
        yield split.labels.tobytes()
        if split.captions is not None:
            yield _texts(split.captions)
        if split.groups is not None:
            yield split.groups.tobytes() + _texts(split.group_names)
        if split.class_names is not None:
            yield _texts([*split.class_names, *split.templates])
        if isinstance(split.images, FromFiles):
            yield np.fromiter(sizes(split.images.files()), dtype=np.int64).tobytes()
