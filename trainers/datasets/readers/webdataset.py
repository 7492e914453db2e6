"""Your own data: WebDataset shards in clip_benchmark's layout, described in the YAML."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.complaints import counted, show
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import PLAIN_TEMPLATES, OwnDataset, is_template
from flyp_sweep.search_spaces.readers.webdataset import WebDataset, address, is_address
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.class_labels import in_order, listed, matched, spelt
from flyp_sweep.trainers.datasets.download import Say, download, text_at
from flyp_sweep.trainers.datasets.own import OwnData
from flyp_sweep.trainers.datasets.tar_shards import Shards, samples_of

NAMES, TEMPLATES, TYPE = "classnames.txt", "zeroshot_classification_templates.txt", "dataset_type.txt"
COUNT = "nshards.txt"
THREADS = 8
"""Archives read in parallel: network disks answer several requests at once."""


@dataclass(frozen=True)
class Index:
    """The images of a split; its distinct `labels` as written; each image's label index, int64 [N]; what is left
    out."""

    images: Shards
    labels: list[str]
    codes: np.ndarray
    left_out: str


class WebShards(OwnData):
    """A folder of tar archives per split; `tar_shards` defines which files count.

    A label is a line number of `classnames.txt`, from 0, or one of its names. Without that file, the labels are the
    classes. Numbers in a split from another data set refer to that data set's `classnames.txt`.
    """

    entry_type: ClassVar[type[OwnDataset]] = WebDataset
    summary = "WebDataset shards in clip_benchmark's layout"

    def __init__(self, entry: WebDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        self.address = address(entry.webdataset) if is_address(entry.webdataset) else None
        self.base = root / (entry.name if self.address else os.path.expanduser(entry.webdataset))
        self._indexed: dict[Path, Index] = {}
        self._names: dict[Path, list[str] | None] = {}
        self._classes: dict[Path, list[str]] = {}

    def resolve(self, path: str) -> Path:
        """The absolute path of a split, relative to the data set's folder."""
        return Path(os.path.normpath(self.base / os.path.expanduser(path)))

    def missing(self) -> list[Missing]:
        if not self.base.is_dir() and not self.address:
            return [Missing(self.base, f"dataset.webdataset of {self.name!r} in the search space")]
        absent = []
        for place, split in self.places().items():
            files = self._archives(place)
            absent += [Missing(file, self._source(file)) for file in files if not file.is_file()]
            if not files and self._is_fetched(place):
                absent.append(Missing(place / COUNT, self._source(place / COUNT)))
            elif not files:
                absent.append(Missing(place / "*.tar" if place.is_dir() else place, self.told(split)))
        return absent

    def fetch(self, say: Say) -> bool:
        """Download the missing files from the data set's address; complete files stay."""
        if not self.address:
            return False
        for name in (NAMES, TEMPLATES, TYPE):
            if not (self.base / name).is_file() and (text := text_at(f"{self.address}/{name}")) is not None:
                self.base.mkdir(parents=True, exist_ok=True)
                (self.base / name).write_text(text, encoding="utf-8")
        for place in filter(self._is_fetched, self.places()):
            if not (_is_pattern(place) or (place / COUNT).is_file()):
                download(self._address(place / COUNT), place / COUNT, say)
            for archive in self._archives(place):
                if not archive.is_file():
                    download(self._address(archive), archive, say)
        return True

    def labels_of(self, split: str) -> list[str]:
        index = self._index(split)
        return [self._class(split, label) for label in index.labels]

    def ordered(self, labels: Sequence[str]) -> list[str]:
        """In the order of `classnames.txt`; without that file, as for all own data."""
        names = self._names_in(self.base)
        order = {name: line for line, name in enumerate(distinct(names or ()))}
        return sorted(labels, key=order.__getitem__) if set(labels) <= order.keys() else super().ordered(labels)

    def _displayed(self, classes: Sequence[str]) -> list[str]:
        lines = self._names_in(self.base) or []
        plain = dict(zip(distinct(lines), lines, strict=True))
        given = self.given_names if isinstance(self.given_names, dict) else {}
        return [given.get(name, plain.get(name, name).replace("_", " ")) for name in classes]

    @cached_property
    def templates(self) -> Sequence[str]:  # type: ignore[override]
        """The templates in the YAML, else those in `zeroshot_classification_templates.txt`, else a plain one."""
        if self.given_templates:
            return self.given_templates
        path = self.base / TEMPLATES
        if not path.is_file():
            return PLAIN_TEMPLATES
        lines = [line.replace("{c}", "{}") for line in lines_of(path)]
        for number, line in enumerate(lines, 1):
            if not is_template(line):
                raise InputError(
                    f"{path}: line {number}: found {line!r}; expected one {{c}} for the class name; correct it, or set "
                    "dataset.templates"
                )
        return list(dict.fromkeys(lines))

    def read(self, split: str) -> Split:
        index, classes = self._index(split), self.classes_of(split)
        known = {name: label for label, name in enumerate(classes)}
        names = [self._class(split, label) for label in index.labels]
        for label, name in zip(index.labels, names, strict=True):
            if name not in known:
                told = spelt(name) if name == label else f"{spelt(label)}, which is {spelt(name)}"
                raise InputError(
                    f"{self._first(split, label)}: found label {told}; expected one of the classes of {self.whole}: "
                    f"{listed(classes)}{nearest(name, classes) or self.if_new(split)}"
                )
        labels = np.array([known[name] for name in names], dtype=np.int64)[index.codes]
        return Split(split, self.splits[split], index.images, labels, self.metric)

    def left_out(self, split: str) -> str:
        return self._index(split).left_out

    def remarks(self) -> list[str]:
        lines, names = super().remarks(), self._names_in(self.base) or []
        used = {name for split in self.splits for name in self.classes_of(split)}
        if unused := [name for name in distinct(names) if name not in used]:
            lines.append(f"not used as classes, because {self.whole} has no image of them: {listed(unused)}")
        if self.given_names is None:
            repeated = [name for name, count in Counter(self.class_names).items() if count > 1]
            lines += [f"several classes are called {name!r}: their zero-shot prompts are equal" for name in repeated]
        return lines

    def particulars(self) -> list[str]:
        lines = super().particulars()
        for place, split in self.places().items():
            if not (place / COUNT).is_file():
                continue
            counted_by_it = self._archives(place)
            if beyond := [path.name for path in _sorted(place.glob("*.tar")) if path not in counted_by_it]:
                has = counted(len(counted_by_it), "archive")
                lines.append(f"{split}: {place / COUNT} counts {has}; left out {listed(beyond)}")
        return lines

    def _index(self, split: str) -> Index:
        place = self.paths[split]
        if place not in self._indexed:
            archives = self._archives(place)
            self._check_kind(place)
            with ThreadPoolExecutor(THREADS) as pool:
                samples = list(pool.map(samples_of, map(os.fspath, archives)))
            members = list(chain.from_iterable(one.images for one in samples))
            if not members:
                raise InputError(
                    f"{place}: found no image in {counted(len(archives), 'archive')}; expected KEY.jpg files"
                )
            labels, codes = np.unique([*chain.from_iterable(one.labels for one in samples)], return_inverse=True)
            folder = os.path.commonpath([archive.parent for archive in archives])
            images = Shards(
                folder,
                tuple(os.path.relpath(archive, folder) for archive in archives),
                np.repeat(np.arange(len(samples), dtype=np.int32), [len(one.images) for one in samples]),
                np.array([os.fsencode(member.name) for member in members], dtype=np.bytes_),
                np.array([member.offset for member in members], dtype=np.int64),
                np.array([member.size for member in members], dtype=np.int64),
                np.array([one.changed for one in samples], dtype=np.int64),
                self.shown_as,
            )
            bare = [key for one in samples for key in one.without_image]
            more = f" ({bare[0]}{', ...' if len(bare) > 1 else ''})" if bare else ""
            left_out = f"{counted(len(bare), 'key')} without an image{more}" if bare else ""
            self._indexed[place] = Index(images, labels.tolist(), codes.astype(np.int64), left_out)
        return self._indexed[place]

    def _check_kind(self, place: Path) -> None:
        path = self._home(place) / TYPE
        if path.is_file() and (kind := " ".join(lines_of(path))) != "classification":
            raise InputError(f"{path}: found {show(kind)}; expected 'classification': images with one label each")

    def _class(self, split: str, label: str) -> str:
        """The class of a label in a split. Raises InputError if no line corresponds to it."""
        folder = self._home(self.paths[split])
        if folder not in self._classes:
            self._classes[folder] = self._classes_in(folder)
        classes = self._classes[folder]
        if not classes:
            return label
        if label.isdecimal() and int(label) < len(classes):
            return classes[int(label)]
        if not label.isdecimal() and label in classes:
            return label
        raise InputError(
            f"{self._first(split, label)}: found label {spelt(label)}; expected 0 to {len(classes) - 1}, the number of "
            f"a line of {folder / NAMES}, counted from 0, or the name on that line{nearest(label, classes)}"
        )

    def _first(self, split: str, label: str) -> str:
        """The first image of a split with this label, for messages."""
        index = self._index(split)
        return index.images.name(int(np.argmax(index.codes == index.labels.index(label))))

    def _classes_in(self, folder: Path) -> list[str]:
        """This data set's classes for the lines of a folder's `classnames.txt`."""
        names, known = self._names_in(folder) or [], self._names_in(self.base)
        if folder == self.base or known is None:
            return distinct(names)
        try:
            places = matched(names, known)
        except ValueError as error:
            raise InputError(
                f"{folder / NAMES}: found {str(error)!r}, which {self.base / NAMES} has several times; expected names "
                "in the same order, which tells them apart"
            ) from error
        own = distinct(known)
        return [name if at is None else own[at] for name, at in zip(names, places, strict=True)]

    def _home(self, place: Path) -> Path:
        """The data set folder that a split belongs to: the folder with its own class names, else this data set's."""
        around = place.parent if _is_pattern(place) else place
        return next((one for one in (around, around.parent) if (one / NAMES).is_file()), self.base)

    def _names_in(self, folder: Path) -> list[str] | None:
        if folder not in self._names:
            path = folder / NAMES
            self._names[folder] = lines_of(path) if path.is_file() else None
        return self._names[folder]

    def _archives(self, place: Path) -> list[Path]:
        """The archives of a split, present or not: as many as `nshards.txt` counts, else those found."""
        if _is_pattern(place):
            return list(chain.from_iterable(map(_matching, _in_braces(os.fspath(place)))))
        if (place / COUNT).is_file():
            return [place / f"{number}.tar" for number in range(_count(place / COUNT))]
        return _sorted(place.glob("*.tar"))

    def _is_fetched(self, place: Path) -> bool:
        """Whether a location is below the data set's address."""
        return self.address is not None and place.is_relative_to(self.base)

    def _address(self, file: Path) -> str:
        return f"{self.address}/{file.relative_to(self.base).as_posix()}"

    def _source(self, file: Path) -> str:
        if self.address and file.is_relative_to(self.base):
            return f"{self._address(file)}, by flyp-sweep data prepare with this search space"
        return f"the shards of {self.name!r} in the search space"


def lines_of(path: Path) -> list[str]:
    """The stripped lines of a text file, without empty lines at its end."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").rstrip().split("\n")]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: could not be read ({error}); expected a text in UTF-8, a line for each") from error
    if "" in lines:
        raise InputError(f"{path}: line {lines.index('') + 1}: found nothing; expected a text on every line")
    return lines


def distinct(names: Iterable[str]) -> list[str]:
    """`names`, with a count appended to repeated ones, as for ImageNet's two classes `missile`."""
    seen = Counter[str]()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return made


def _count(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: could not be read ({error}); expected the number of shards") from error


def _is_pattern(place: Path) -> bool:
    """Whether a location is an archive, or a pattern for several, and not a folder."""
    return ".tar" in place.suffixes or bool(re.search(r"[*?\[{]", place.name))


def _sorted(paths: Iterable[Path]) -> list[Path]:
    """Sorted by name, with 10 after 2."""
    by_name = {path.name: path for path in paths}
    return [by_name[name] for name in in_order(by_name)]


def _in_braces(pattern: str) -> list[str]:
    """The texts that a range such as `{00..12}` in a pattern expands to."""
    found = re.search(r"\{([0-9]+)\.\.([0-9]+)\}", pattern)
    if not found:
        return [pattern]
    first, last = found.groups()
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    return [text for number in numbers for text in _in_braces(f"{head}{number}{tail}")]


def _matching(path: str) -> list[Path]:
    """The files that match a pattern with stars; a path without stars unchanged."""
    folder, name = os.path.split(path)
    return _sorted(Path(folder).glob(name)) if re.search(r"[*?\[]", name) else [Path(path)]
