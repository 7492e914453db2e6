"""Arrays that are computed once per machine: cached on disk for all workers and for later sweeps.

An entry's name is the hash of everything that determines its content, so it never becomes stale. It appears on disk
only when complete: a `.npy` file, and a `.json` file that describes it. Workers share one memory-mapped copy.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from flyp_sweep.search_spaces.errors import InputError

PLACE, BOUND = "FLYP_SWEEP_CACHE", "FLYP_SWEEP_CACHE_GB"
OFF = "off"
DEFAULT_GB = 50.0
HASHES = "hashes.sqlite"
"""The file that stores the content hashes of other files, see `trainers.data.content`."""

IDLE_SECONDS = 3600.0
"""Entries used more recently than this are not evicted. Otherwise a sweep that exceeds the cache would rewrite its
own entries forever."""

_FORMAT = 1

Facts = Mapping[str, Any]
"""Everything that determines an entry's content, as JSON values with a `kind`; `of` describes it in words."""


@dataclass(frozen=True)
class Entry:
    """An array in the cache: its size in bytes and its last use, in seconds since 1970."""

    path: Path
    size: int
    used: float

    @property
    def told(self) -> tuple[str, str]:
        """Its kind and its description, if they can be read."""
        try:
            facts = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return self.path.name.partition("-")[0], "?"
        return str(facts.get("kind", "?")), str(facts.get("of", "?"))


class Cache:
    """At most `max_bytes` of arrays in `folder`, shared by any number of processes. Creates `folder` on demand."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    @classmethod
    def of_machine(cls) -> Cache | None:
        """The cache that the environment configures; None if it is `off`, or if neither a folder nor a home exists.

        FLYP_SWEEP_CACHE is its folder, FLYP_SWEEP_CACHE_GB its bound. Raises InputError if the bound is no number.
        """
        place, bound = os.environ.get(PLACE), os.environ.get(BOUND, str(DEFAULT_GB))
        try:
            gigabytes = float(bound)
        except ValueError:
            gigabytes = math.nan
        if not 0 <= gigabytes < math.inf:
            raise InputError(f"{BOUND}: found {bound!r}; expected a number of gigabytes, or {PLACE}={OFF} for no cache")
        if place == OFF:
            return None
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        try:
            folder = Path(place or f"{home}/flyp-sweep").expanduser()
        except RuntimeError:
            return None
        return cls(folder, int(gigabytes * 10**9))

    def rows(
        self, facts: Facts, shape: tuple[int, ...], dtype: str, batches: Callable[[], Iterable[np.ndarray]]
    ) -> np.ndarray | None:
        """The read-only array of this shape that `facts` determine: read from disk, or written there from `batches`.

        `batches` yields its rows in order, in chunks of any size. If several processes ask at once, the first computes
        and the others wait. None if it cannot be stored: no space, or a folder without write permission.
        """
        if 0 in shape:
            return None
        path = self._place(facts)
        try:
            found = _load(path, shape, dtype)
            if found is not None:
                return found
            size = math.prod(shape) * np.dtype(dtype).itemsize
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.exists() and self._make_room(size):
                    path.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
                    _write(path, shape, dtype, batches())
                return _load(path, shape, dtype)
        except (OSError, NotImplementedError):  # NotImplementedError: the file system has no locks
            return None

    def found(self, facts: Facts, shape: tuple[int, ...], dtype: str) -> np.ndarray | None:
        """As `rows`, but None unless the array is on disk."""
        with suppress(OSError):
            return _load(self._place(facts), shape, dtype)
        return None

    def _place(self, facts: Facts) -> Path:
        return self.folder / f"{facts['kind']}-{_digest(facts)}.npy"

    def entries(self) -> list[Entry]:
        """All entries, the most recently used first."""
        found = []
        for path in self.folder.glob("*.npy"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found.append(Entry(path, stat.st_size, stat.st_mtime))
        return sorted(found, key=lambda entry: entry.used, reverse=True)

    @property
    def hashes_size(self) -> int:
        """Bytes of the stored hashes of files."""
        return sum(path.stat().st_size for path in self.folder.glob(HASHES))

    def clear(self) -> int:
        """Remove everything; returns the bytes of the entries. Arrays that a worker has mapped stay readable."""
        size = sum(entry.size for entry in self.entries()) + self.hashes_size
        for pattern in ("*.npy", "*.json", "*.lock", "*.draft", f"{HASHES}*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        return size

    def _make_room(self, size: int) -> bool:
        """Evict old entries if necessary; returns whether an entry of `size` bytes fits."""
        if size > min(self.max_bytes, shutil.disk_usage(self.folder).free // 2):
            return False
        entries = self.entries()
        over = sum(entry.size for entry in entries) + size - self.max_bytes
        idle = [entry for entry in entries if entry.used < time.time() - IDLE_SECONDS]
        if over > sum(entry.size for entry in idle):
            return False
        while over > 0:
            entry = idle.pop()
            entry.path.unlink(missing_ok=True)
            entry.path.with_suffix(".json").unlink(missing_ok=True)
            over -= entry.size
        return True


def _digest(facts: Facts) -> str:
    deciding = {name: value for name, value in facts.items() if name != "of"}
    return hashlib.sha256(json.dumps([_FORMAT, deciding], sort_keys=True).encode()).hexdigest()[:32]


def _load(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray | None:
    """The array in `path`, marked as used; None if it is absent or damaged. Removes a damaged one."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        os.utime(path)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError):
        path.unlink(missing_ok=True)
        return None
    return found if found.shape == shape and found.dtype == np.dtype(dtype) else None


def _write(path: Path, shape: tuple[int, ...], dtype: str, batches: Iterable[np.ndarray]) -> None:
    """Write an array that appears under `path` only when it is complete."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".draft", delete=False) as file:
        draft = Path(file.name)
        try:
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            rows = 0
            for batch in batches:
                if batch.shape[1:] != shape[1:] or batch.dtype != np.dtype(dtype):
                    raise ValueError(f"found rows {batch.dtype} {batch.shape[1:]}; expected {dtype} {shape[1:]}")
                file.write(np.ascontiguousarray(batch).data)
                rows += len(batch)
            if rows != shape[0]:
                raise ValueError(f"found {rows} rows; expected {shape[0]}")
            file.flush()
            os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
