"""A folder of the user's own data, as a search space spells it: splits are recognised by the names of their places."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.starter.found_tables import Table, tables_in
from flyp_sweep.orchestrator.starter.split_names import MEANT, Splits, held_out_where_absent, split_of
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.fields import as_slug
from flyp_sweep.search_spaces.readers.domains import DEFAULT_HELD_OUT
from flyp_sweep.trainers.datasets.image_listing import LeftOut, images_below, is_named_as_image, subfolders

EXPECTED = (
    "a folder with sub-folders train, val and test, each with a sub-folder per class; with a sub-folder per class; "
    "with a sub-folder per domain, each with a sub-folder per class; or with tables of paths and labels"
)

ENOUGH = 5_000
"""Images from which on their number makes no difference to what is written."""


@dataclass(frozen=True)
class FoundData:
    """`dataset` as a search space spells it, how many images train, and what was guessed: key path -> a sentence.

    Of each folder at most ENOUGH images are counted.
    """

    dataset: dict[str, Any]
    images: int
    guesses: dict[str, str]


def look(folder: Path) -> FoundData:
    """What lies in `folder`. No image is decoded. Raises InputError for a folder in no form that is known."""
    try:
        return _look(Path(os.path.abspath(folder)))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); expected {EXPECTED}") from None


def _look(folder: Path) -> FoundData:
    inside = subfolders(folder)
    with_classes = [one for one in inside if _classes(one)]
    named = _by_split({one: one.name for one in with_classes})
    if "train" in named:
        below = [one for part in inside if part not in with_classes for one in subfolders(part) if _classes(one)]
        return _split_folders(folder, named, [one for one in with_classes if not split_of(one.name)] + below)
    if named:
        found = ", ".join(one.name for one in named.values())
        raise InputError(f"{folder}: found {found} and no folder of training images; expected one named train")
    if len(with_classes) > 1:
        return _domains(folder, with_classes)
    if len(_classes(folder)) > 1:
        return _pool(folder)
    if tables := tables_in(folder):
        return _tables(folder, tables)
    raise InputError(f"{folder}: found neither images in folders of classes nor tables; expected {EXPECTED}")


def _split_folders(folder: Path, named: dict[str, Path], others: Iterable[Path]) -> FoundData:
    """A folder for each split."""
    classes = _classes(named["train"])
    splits: Splits = {split: str(named[split]) for split in MEANT if split in named}
    guesses = {f"folders.{split}": f"Guessed from the name {named[split].name}." for split in splits}
    ood, left_out = {}, []
    for one in others:
        if set(_classes(one)) <= {*classes}:
            label = one.name if one.name not in ood else f"{one.parent.name}_{one.name}"
            ood[label] = str(one)
        else:
            left_out.append(one.name)
    if ood:
        splits["ood"] = ood
        guesses["folders.ood"] = "Guessed: the folders with other names are OOD test sets."
    if left_out:
        guesses["folders"] = f"Left out, as train lacks some of their classes: {', '.join(left_out)}."
    return _of_folders(folder, splits, guesses, named["train"])


def _pool(folder: Path) -> FoundData:
    """One folder of classes, without splits."""
    guesses = {"folders.train": "Guessed: one pool of images without splits."}
    return _of_folders(folder, {"train": str(folder)}, guesses, folder)


def _of_folders(folder: Path, splits: Splits, guesses: dict[str, str], train: Path) -> FoundData:
    classes = _classes(train)
    if len(classes) < 2:
        raise InputError(f"{train}: found images of one class; expected a folder for each of 2 classes or more")
    share, added = held_out_where_absent(splits)
    guesses |= {f"folders.{split}": told for split, told in added.items()}
    guesses["class_names"] = (
        f"Guessed from the names of {counted(len(classes), 'folder')}: write what a prompt should say."
    )
    dataset = {"name": as_slug(folder.name), "folders": splits, "class_names": _display_names(classes)}
    return FoundData(dataset, round(_count(train) * (1 - share)), guesses)


def _domains(folder: Path, domains: list[Path]) -> FoundData:
    """A folder for each domain; each is OOD in turn."""
    names = [one.name for one in domains]
    classes = sorted({name for one in domains for name in _classes(one)})
    dataset = {
        "name": as_slug(folder.name),
        "domains": str(folder),
        "leave_one_out": names,
        "class_names": _display_names(classes),
    }
    guesses = {
        "leave_one_out": "Guessed: no folder is named train, so each folder is a domain, and OOD in turn.",
        "class_names": f"Guessed from the names of {counted(len(classes), 'folder')}: write what a prompt should say.",
    }
    sizes = [_count(one) for one in domains]
    return FoundData(dataset, round((sum(sizes) - max(sizes)) * (1 - DEFAULT_HELD_OUT)), guesses)


def _tables(folder: Path, tables: list[Table]) -> FoundData:
    """A table for each split, or one table."""
    by_path = {one.path: one for one in tables}
    named = {split: by_path[path] for split, path in _by_split({path: path.stem for path in by_path}).items()}
    if len(tables) == 1:
        named = {"train": tables[0]}
    if "train" not in named:
        found = ", ".join(one.path.name for one in tables)
        raise InputError(f"{folder}: found the tables {found}; expected one of training images, named train")
    train = named["train"]
    splits: Splits = {split: str(named[split].path) for split in MEANT if split in named}
    guesses = {f"tables.{split}": f"Guessed from the name {named[split].path.name}." for split in splits}
    if ood := {one.path.stem: str(one.path) for one in tables if one not in named.values()}:
        splits["ood"] = ood
        guesses["tables.ood"] = "Guessed: the tables with other names are OOD test sets."
    share, added = held_out_where_absent(splits)
    guesses |= {f"tables.{split}": told for split, told in added.items()}
    guesses["columns"] = f"Guessed from the header of {train.path.name}: {', '.join(train.header)}."
    dataset = {"name": as_slug(folder.name), "tables": splits, "columns": {"path": train.image, "label": train.label}}
    if images := train.images:
        dataset["images"] = str(images)
        guesses["images"] = "Guessed: the first path of the table leads to a file from here."
    return FoundData(dataset, round(train.rows * (1 - share)), guesses)


def _classes(folder: Path) -> list[str]:
    """The sub-folders of `folder` in which images lie."""
    return [one.name for one in subfolders(folder) if any(is_named_as_image(file.name) for file in os.scandir(one))]


def _count(folder: Path) -> int:
    return sum(1 for _ in islice(images_below(str(folder), LeftOut()), ENOUGH))


def _by_split(names: dict[Path, str]) -> dict[str, Path]:
    """Split -> the folder or table that its name tells. Raises InputError where two have one split."""
    found: dict[str, Path] = {}
    for path, name in names.items():
        split = split_of(name)
        if split and found.setdefault(split, path) != path:
            raise InputError(
                f"{path}: found {found[split].name} beside it, and both names mean {split}; expected one (rename it)"
            )
    return found


def _display_names(classes: list[str]) -> dict[str, str]:
    """Class -> its name with spaces for underscores, or all as they are where two would have one name."""
    spaced = {name: " ".join(name.replace("_", " ").split()) or name for name in classes}
    return spaced if len({*spaced.values()}) == len(classes) else {name: name for name in classes}
