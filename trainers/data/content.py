"""Content hashes of files. A machine reads each file once, and stores its hash until the file changes.

No image is decoded here.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.cache import HASHES, Cache
from flyp_sweep.trainers.datasets.base import Identified, Images, digest_of
from flyp_sweep.trainers.datasets.encoded import Packed

BYTES = 16
"""Bytes kept of each SHA-256 hash. Most CPUs have instructions for SHA-256."""
THREADS = 8
"""Files read in parallel: network disks answer several requests at once."""
AT_ONCE = 1000
"""Files per query of the table."""
UNSETTLED_SECONDS = 2.0
"""A file that changed this recently may change again with the same time stamp, so its hash is not stored."""
MANY = 20_000
"""At least this many images without files get their hashes cached."""
WORTH_A_LINE = 2 * 10**9
"""Reading more bytes than this takes long enough to announce it."""

Stamp = bytes
"""Size, times of change and inode of a file: they change with its content."""


class Hashes:
    """Content hashes of files, stored in the cache in `folder` (None: files are read each time).

    `say` prints a line before much data is read.
    """

    def __init__(self, folder: Path | None, say: Callable[[str], None] = lambda line: None) -> None:
        self.folder = folder
        self.say = say

    @classmethod
    def of_machine(cls, say: Callable[[str], None] = lambda line: None) -> Hashes:
        """The hashes in this machine's cache. Raises InputError as `Cache.of_machine` does."""
        cache = Cache.of_machine()
        return cls(cache.folder if cache else None, say)

    def of(self, paths: Sequence[str]) -> np.ndarray:
        """The hash of each file's content: bytes [N] of 16 bytes each.

        Raises InputError, with the file's name, if one cannot be read.
        """
        return self._of(paths, paths, lambda at: _content(paths[at]))

    def of_packed(self, images: Packed) -> np.ndarray:
        """The hash of each image's encoded bytes: equal to `of` for a file with these bytes."""
        return self._of(images.names(), images.files(), lambda at: _digest(images.encoded(at)))

    def of_pixels(self, images: Images) -> np.ndarray:
        """The hash of the pixels of each image: bytes [N]. If there are many images, and they have an identity, the
        cache stores the hashes."""

        def batches() -> Iterator[np.ndarray]:
            for at in range(0, len(images), AT_ONCE):
                some = [_pixels(images[row]) for row in range(at, min(at + AT_ONCE, len(images)))]
                yield np.frombuffer(b"".join(some), dtype=np.uint8).reshape(-1, BYTES)

        kept = None
        if self.folder and len(images) >= MANY and isinstance(images, Identified) and (digest := digest_of(images)):
            facts = {"kind": "pixels", "of": counted(len(images), "image"), "images": digest}
            # Hashes are small and must not evict other entries, so the cache's bound does not apply.
            kept = Cache(self.folder, sys.maxsize).rows(facts, (len(images), BYTES), "uint8", batches)
        hashes = np.concatenate([np.empty((0, BYTES), np.uint8), *batches()]) if kept is None else np.array(kept)
        return hashes.view(f"S{BYTES}").reshape(-1)

    def _of(self, names: Sequence[str], files: Sequence[str], read: Callable[[int], bytes]) -> np.ndarray:
        """The hash of each of `names`; the content of each is in the corresponding one of `files`."""
        table = Table(self.folder / HASHES) if self.folder else None
        stamp = _stamps_of(files)
        with ThreadPoolExecutor(THREADS) as pool:
            stamps = [stamp[file] for file in files]
            found: list[bytes | None] = table.found(names, stamps) if table else [None] * len(names)
            absent = [at for at, digest in enumerate(found) if digest is None]
            self._announce([stamp[file] for file in dict.fromkeys(files[at] for at in absent)])
            for some in (absent[at : at + AT_ONCE] for at in range(0, len(absent), AT_ONCE)):
                digests = list(pool.map(read, some))
                for at, digest in zip(some, digests, strict=True):
                    found[at] = digest
                if table:
                    table.remember([(names[at], stamps[at], digest) for at, digest in zip(some, digests, strict=True)])
        return np.array(found, dtype=f"S{BYTES}")

    def _announce(self, stamps: Sequence[Stamp]) -> None:
        size = sum(size_of(stamp) for stamp in stamps)
        if size > WORTH_A_LINE:
            self.say(
                f"reading {size / 1e9:.0f} GB in {counted(len(stamps), 'file')}, once, to identify them by content"
            )


class Table:
    """The stored hashes of a machine, in an SQLite file. If the file is unusable, it stores nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def found(self, paths: Sequence[str], stamps: Sequence[Stamp]) -> list[bytes | None]:
        """The hash of each file that has not changed since it was stored, None for the others."""
        if not self.path.exists():
            return [None] * len(paths)
        known: dict[bytes, tuple[Stamp, bytes]] = {}
        keys = [os.fsencode(path) for path in paths]
        try:
            with closing(self._open()) as table:
                for at in range(0, len(keys), AT_ONCE):
                    part = keys[at : at + AT_ONCE]
                    marks = ", ".join("?" * len(part))
                    rows = table.execute(f"SELECT path, stamp, hash FROM files WHERE path IN ({marks})", part)  # noqa: S608
                    known.update((path, (stamp, digest)) for path, stamp, digest in rows)
        except sqlite3.Error:
            return [None] * len(paths)
        pairs = (known.get(key, (b"", None)) for key in keys)
        return [digest if stamp == now else None for (stamp, digest), now in zip(pairs, stamps, strict=True)]

    def remember(self, files: Iterable[tuple[str, Stamp, bytes]]) -> None:
        """Store the hashes of these files, except those that changed just now."""
        settled = time.time_ns() - int(UNSETTLED_SECONDS * 1e9)
        rows = [(os.fsencode(path), stamp, digest) for path, stamp, digest in files if changed_at(stamp) < settled]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as table, table:
                table.execute(
                    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, stamp BLOB, hash BLOB) WITHOUT ROWID"
                )
                table.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
        except (sqlite3.OperationalError, OSError):  # no locks, no space, no write permission
            return
        except sqlite3.DatabaseError:  # damaged
            self.path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)


_STAMP = struct.Struct("<qqqQ")


def stamp_of(path: str) -> Stamp:
    """The stamp of a file. Raises InputError if the file is absent.

    Copies preserve the time of a content change, but not the time of a change to the file.
    """
    try:
        stat = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return _STAMP.pack(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino & (2**64 - 1))


def size_of(stamp: Stamp) -> int:
    """The size of a file in bytes."""
    return int(_STAMP.unpack(stamp)[0])


def changed_at(stamp: Stamp) -> int:
    """When a file last changed, in ns since 1970."""
    return int(_STAMP.unpack(stamp)[2])


def sizes(paths: Sequence[str]) -> Iterator[int]:
    """The size of each distinct file in bytes. Raises InputError if one is absent."""
    stamps = _stamps_of(paths)
    return (size_of(stamps[path]) for path in paths)


def _stamps_of(paths: Sequence[str]) -> dict[str, Stamp]:
    """The distinct files and their stamps."""
    each = list(dict.fromkeys(paths))
    parts = [each[at : at + AT_ONCE] for at in range(0, len(each), AT_ONCE)]
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(each, chain.from_iterable(pool.map(_stamps, parts)), strict=True))


def _stamps(paths: Sequence[str]) -> list[Stamp]:
    return [stamp_of(path) for path in paths]


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()[:BYTES]
    except OSError as error:
        raise _unreadable(path, error) from error


def _pixels(image: Image.Image) -> bytes:
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).digest()[:BYTES]


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:BYTES]


def _unreadable(path: str, error: OSError) -> InputError:
    return InputError(f"{path}: the file cannot be read ({error.strerror}); put it back, or make it readable")
