"""Images in tar archives of the WebDataset format: an index of each archive, and its images by offset."""

from __future__ import annotations

import json
import os
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.encoded import Packed
from flyp_sweep.trainers.datasets.image_listing import suffixes

BLOCK = 512
ZEROS = bytes(BLOCK)
"""The end mark of an archive."""
AHEAD = 4 * BLOCK
"""Bytes per read: a member's header, an extended header with exact times before it, and a label."""
HEADER = struct.Struct("100s24x12s20xc100x6s82x155s12x")
"""Name, size, kind, magic and name prefix."""
USTAR = (b"ustar\0", b"ustar ")
"""The magic of POSIX and of GNU."""
PLAIN = (b"0", b"\0", b"5")
"""The kinds of regular files and of folders."""
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Member(NamedTuple):
    """A file in an archive: its name, the location of its content, and the part of its content that is read already."""

    name: str
    offset: int
    size: int
    head: bytes = b""


@dataclass(frozen=True)
class Samples:
    """The labelled images of one archive: members, labels as written, keys without an image, and the time of the
    archive's last change, in ns since 1970."""

    images: list[Member]
    labels: list[str]
    without_image: list[str]
    changed: int


@dataclass(frozen=True)
class Shards(Packed):
    """Images in tar archives below `folder`.

    Image i is `members[i]`, bytes [N], in the archive `archives[archive[i]]`, int32 [N]. `offsets` and `sizes`, int64
    [N], locate its content in bytes. `changed`, int64 [archives], holds the time of each archive's last change at
    listing, in ns since 1970.

    An archive is opened for each image, like an image file, so nothing stays open. An archive that was rewritten since
    the listing is refused, because its offsets have changed.
    """

    folder: str
    archives: tuple[str, ...]
    archive: np.ndarray
    members: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    changed: np.ndarray
    shown_as: ShownAs = "viewer"

    def __len__(self) -> int:
        return len(self.members)

    def files(self) -> list[str]:
        paths = [os.path.join(self.folder, name) for name in self.archives]
        return [paths[at] for at in self.archive]

    def name(self, index: int) -> str:
        return os.path.join(self.folder, self._key(index))

    def keys(self) -> list[str]:
        return [self._key(index) for index in range(len(self))]

    def _key(self, index: int) -> str:
        return f"{self.archives[self.archive[index]]}/{os.fsdecode(self.members[index])}"

    def taken(self, indices: np.ndarray) -> Self:
        columns = {name: getattr(self, name)[indices] for name in ("archive", "members", "offsets", "sizes")}
        return replace(self, **columns)

    def encoded(self, index: int) -> bytes:
        size, archive = int(self.sizes[index]), int(self.archive[index])
        try:
            file = os.open(os.path.join(self.folder, self.archives[archive]), os.O_RDONLY)
        except FileNotFoundError as error:
            raise InputError(f"{self.name(index)}: the archive is gone; put it back") from error
        try:
            content, changed = os.pread(file, size, int(self.offsets[index])), os.fstat(file).st_mtime_ns
        finally:
            os.close(file)
        if len(content) != size:
            raise InputError(f"{self.name(index)}: the archive ends within this image; get the archive again")
        if changed != self.changed[archive]:
            raise InputError(f"{self.name(index)}: the archive was written anew while it was in use; start again")
        return content


def samples_of(path: str) -> Samples:
    """The labelled images of an archive, in its order. Raises InputError, with the archive's name, if it is damaged.

    As in WebDataset, files whose names are equal up to the first dot belong together.
    """
    found: dict[str, dict[str, Member]] = {}
    members, changed = members_of(path), os.stat(path).st_mtime_ns
    for member in members:
        folder, _, name = member.name.rpartition("/")
        key, dot, kind = name.partition(".")
        if not key or not dot:
            continue
        parts = found.setdefault(f"{folder}/{key}" if folder else key, {})
        if (kind := kind.lower()) in parts:
            raise InputError(f"{path}: found {member.name!r} twice; expected every key once; write the archive again")
        parts[kind] = member
    samples, known = Samples([], [], [], changed), suffixes()
    for key, parts in found.items():
        images = [kind for kind in parts if f".{kind.rpartition('.')[2]}" in known]
        if not images:
            samples.without_image.append(key)
            continue
        if len(images) > 1:
            two = " and ".join(repr(parts[kind].name) for kind in images[:2])
            raise InputError(f"{path}: found {two}; expected one image for each key; leave one out")
        samples.images.append(parts[images[0]])
        samples.labels.append(_label(path, key, parts))
    return samples


def _label(path: str, key: str, parts: Mapping[str, Member]) -> str:
    """The label of a sample: the text of its .cls file, else `label` or `cls` in its .json file."""
    for kind in ("cls", "json"):
        if kind not in parts:
            continue
        content = content_of(path, parts[kind])
        try:
            text = content.decode()
            values = json.loads(text) if kind == "json" else {"cls": text}
            found = next((values[name] for name in ("cls", "label") if name in values), "")
            if not isinstance(found, str | int) or isinstance(found, bool):
                raise TypeError(f"its class is {json.dumps(found)}")
            label = str(found).strip()
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: found {parts[kind].name!r} unreadable ({error}); expected a class") from error
        if label:
            return label
    there = ", ".join(sorted(f".{kind}" for kind in parts))
    raise InputError(
        f"{path}: found no label of {key!r}, which has {there}; expected {key}.cls with the number of a class, or "
        f"{key}.json with a 'label'"
    )


def content_of(path: str, member: Member) -> bytes:
    """The bytes of a member."""
    if len(member.head) == member.size:
        return member.head
    with open(path, "rb") as file:
        file.seek(member.offset)
        return file.read(member.size)


def members_of(path: str) -> list[Member]:
    """The files in an archive, in its order. Raises InputError for a compressed, truncated or invalid archive.

    Regular files as Python's and GNU's tar write them are parsed here, ten times as fast as by the standard library,
    which reads all other archives.
    """
    try:
        with open(path, "rb") as file:
            descriptor = file.fileno()
            start, end = os.pread(descriptor, BLOCK, 0), os.fstat(descriptor).st_size
            for mark, kind in COMPRESSED.items():
                if start.startswith(mark):
                    raise InputError(
                        f"{path}: found an archive compressed with {kind}; expected a plain .tar, whose images can be "
                        f"read one by one; unpack it with {kind} once"
                    )
            found = _plain(descriptor, end)
            return _by_library(path, end) if found is None else found
    except _CutOffError as error:
        raise InputError(f"{path}: the archive is cut off after {end:,} bytes; get it again") from error
    except tarfile.TarError as error:
        raise InputError(f"{path}: could not be read as a tar archive ({error}); get it again") from error
    except OSError as error:
        raise InputError(f"{path}: could not be read ({error.strerror}); expected a tar archive") from error


class _CutOffError(Exception):
    """The archive ends within a member, or without its end mark."""


def _plain(file: int, end: int) -> list[Member] | None:
    """The members of an archive of `end` bytes, from their headers; None if one of them needs the standard library."""
    found: list[Member] = []
    at = 0
    while True:
        ahead, start = os.pread(file, AHEAD, at), 0
        if len(ahead) < BLOCK:
            raise _CutOffError
        if ahead[156] == ord("x") and not _renames(ahead):  # times in nanoseconds, as Python writes them
            start = 2 * BLOCK
            if len(ahead) < start + BLOCK:
                raise _CutOffError
        name, digits, kind, magic, prefix = HEADER.unpack_from(ahead, start)
        if not name[0] and ahead[start : start + BLOCK] == ZEROS:
            return found
        size = _size(digits)
        if size is None or magic not in USTAR or kind not in PLAIN:
            return None
        at += start + BLOCK
        if at + size > end:
            raise _CutOffError
        if kind != b"5":
            name = name.partition(b"\0")[0]
            if magic == USTAR[0] and prefix[0]:
                name = prefix.partition(b"\0")[0] + b"/" + name
            start += BLOCK
            head = ahead[start : start + size] if size <= len(ahead) - start else b""
            found.append(Member(os.fsdecode(name), at, size, head))
        at += -(-size // BLOCK) * BLOCK


def _size(digits: bytes) -> int | None:
    """The size of a member; None unless it is written in plain octal digits."""
    try:
        return int(digits.rstrip(b"\0 "), 8)
    except ValueError:
        return None


def _renames(ahead: bytes) -> bool:
    """Whether an extended header holds more than times and owners, or takes more than one block."""
    size = _size(ahead[124:136])
    if size is None or size > BLOCK:
        return True
    return any(key in ahead[BLOCK : BLOCK + size] for key in (b" path=", b" size=", b"GNU.", b"charset="))


def _by_library(path: str, end: int) -> list[Member]:
    """As `_plain`, for any archive."""
    with tarfile.open(path, "r:") as archive:
        every = archive.getmembers()
    found = [Member(one.name, one.offset_data, one.size) for one in every if one.isreg() and not one.issparse()]
    last = every[-1].offset_data + (-(-every[-1].size // BLOCK) * BLOCK if every[-1].isreg() else 0) if every else 0
    with open(path, "rb") as file:
        file.seek(last)
        if last > end or file.read(BLOCK) != ZEROS:
            raise _CutOffError
    return found
