"""The ledger: the append-only record of finished trials, and the single source of truth of a run folder.

One JSON object per line. The driver alone appends; anyone may read, also while it is being written.
"""

from __future__ import annotations

import gc
import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import msgspec

from flyp_sweep.results.ledger.schema import (
    Line,
    Malformed,
    Record,
    SelectionRecord,
    SupersededRecord,
    TrialRecord,
    decode,
    decode_json,
    encode,
)
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.errors import InputError

FOLLOW_SECONDS = 0.2
"""How often a ledger that is followed is looked at."""
IN_COMMON = ("cell", "settings", "versions", "machine")
"""Fields that many trials have the same value of."""
_BLOCK = 1 << 16
_READ_AT_ONCE = 1 << 20  # lines of repeats are longer than Python's buffer, which would take them in pieces

T = TypeVar("T")


class LedgerWarning(UserWarning):
    """Something in a ledger was passed over without loss: a torn last line, or a line that is there twice."""


class Ledger:
    """One `ledger.jsonl`, with a single writer.

    `path` need not exist yet: an absent ledger is an empty one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def append(self, record: Line) -> None:
        """Add one line and return when it is on the disk (flushed and fsynced).

        A torn last line, left by a driver that was killed while writing, is repaired first. Raises ValueError for a
        record that could not be read back (NaN and infinities included), TypeError for what JSON cannot hold, OSError
        when the disk is full; the ledger then is as it was.
        """
        line = encode(record)
        is_new = not self.path.exists()
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
            _repair_end(file)
            start = file.tell()
            try:
                _write_whole(file, line)
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)
                raise
        if is_new:
            _sync_folder(self.path.parent)

    def check_writable(self) -> None:
        """Raise OSError when nothing can be appended to a ledger that exists."""
        if self.path.exists():
            os.close(os.open(self.path, os.O_RDWR))

    def repair(self) -> None:
        """Have a ledger that exists end with a whole line, as `append` does first."""
        if self.path.exists():
            with self.path.open("r+b", buffering=0) as file:
                _repair_end(file)

    def whole_lines(self, start: int, most: int) -> bytes:
        """Lines from the offset `start`, where one begins: what of them fits into `most` bytes, but one at least.

        b"" when there is none. A line without its newline is none: it may yet be cut off.
        """
        if not self.path.exists():
            return b""
        with self.path.open("rb") as file:
            file.seek(start)
            lines = file.read(most)
            if b"\n" not in lines:
                lines += file.readline()
        return lines[: lines.rfind(b"\n") + 1]

    def load(self) -> list[Record]:
        """All records, in file order and each trial once: see `read_lines`."""
        return read_lines(self.path, Interner())

    def load_hashed(
        self, *, curves: bool = True, listen: Callable[[Record], object] | None = None
    ) -> tuple[list[Record], str]:
        """All records, with or without their curves, and the SHA-256 of the bytes that they were read from.

        `listen` is called with every record that is kept, as it stands in the file.
        """
        kept = Interner(curves=curves)

        def heard(record: Record) -> Record:
            if listen is not None:
                listen(record)
            return kept(record)

        return read_hashed(self.path, heard)

    def follow(self, over: Event) -> Iterator[Record]:
        """The records that are there and those that come, one by one and as they stand: a trial may be there twice.

        Ends when `over` is set, after all that was there then; a torn last line is passed over. Raises InputError as
        `read_lines` does, but for contradictions.
        """
        number, end = 1, 0
        while True:
            last = over.is_set()
            start, end = end, self._end_of_lines(last)
            for place, _, record in _numbered_lines(self.path, end, number, start):
                yield record
                number = place + 1
            if last:
                return
            over.wait(FOLLOW_SECONDS)

    def _end_of_lines(self, last: bool) -> int:
        """The size without what follows the last newline, unless that is whole and nothing is to come."""
        if not self.path.exists():
            return 0
        with self.path.open("rb", buffering=0) as file:
            end, tail = _unterminated_tail(file)
        return end + (len(tail) if last and decode_json(tail) is not None else 0)


class Interner:
    """Keeps records of which there may be 100,000: a value that many have in common is one object in all of them.

    Without `curves` the curve of each trial, the largest part of a search trial, is left empty.
    """

    def __init__(self, *, curves: bool = True) -> None:
        self._seen: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._rest: dict[str, Any] = {} if curves else {"curve": []}

    def __call__(self, record: Record) -> Record:
        if isinstance(record, SelectionRecord):
            return record
        common = {name: self._shared(name, getattr(record, name)) for name in IN_COMMON}
        return msgspec.structs.replace(record, **common, **self._rest)

    def _shared(self, name: str, value: object) -> object:
        """An object equal to `value`: that of the record before, in most cases, which spares the text of it."""
        if value != self._last.get(name):
            self._last[name] = self._seen.setdefault(repr(value), value)
        return self._last.get(name)


def read_lines(
    path: str | Path, keep: Callable[[Record], T], listen: Callable[[bytes], object] | None = None
) -> list[T]:
    """What `keep` makes of the ledger's records, in file order and each trial once; none when there is no file.

    `listen` is called with the bytes of every line. A torn last line (no newline at its end, not a whole JSON object)
    and an exact duplicate of a trial are passed over with a `LedgerWarning`. Of a failed trial and its retry the
    finished one holds, of two failures the later, and of a trial that ran again to be evaluated on other splits, or by
    more metrics, the later. Raises InputError, with file and line, for any other line that cannot be read, for one
    that lacks a field, and for a trial that finished twice with different content.
    """
    path = Path(path)
    if not path.exists():
        return []
    with _no_garbage_collection():
        return _each_once(path, _numbered_lines(path, listen=listen), keep)


def read_hashed(path: Path, keep: Callable[[Record], T]) -> tuple[list[T], str]:
    """As `read_lines`, with the SHA-256 of the bytes that were read; empty where there are none."""
    digest = hashlib.sha256()
    kept = read_lines(path, keep, digest.update)
    return kept, digest.hexdigest() if digest.digest() != hashlib.sha256().digest() else ""


def _each_once(path: Path, lines: Iterable[tuple[int, int, Record]], keep: Callable[[Record], T]) -> list[T]:
    kept: dict[int, T] = {}
    places: dict[str, _Place] = {}
    for number, offset, record in lines:
        if isinstance(record, TrialRecord):
            later = _Place(number, offset, record.status)
            earlier = places.get(record.trial_id)
            if earlier is not None:
                if not _supersedes(later, earlier, record.trial_id, path):
                    continue
                del kept[earlier.number]
            places[record.trial_id] = later
        kept[number] = keep(record)
    return list(kept.values())


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Nothing that is decoded refers back to itself, and looking for it among 100,000 trials takes seconds."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def trials_by_id(records: Iterable[Record]) -> dict[str, TrialRecord]:
    """The trials among `records`, by trial_id."""
    return {record.trial_id: record for record in records if isinstance(record, TrialRecord)}


def last_selections(records: Iterable[Record]) -> dict[Cell, SelectionRecord]:
    """The selection that holds for each cell: the last one in the ledger.

    Where the images of a data set have changed since, and other cells were selected on the new ones, none holds.
    """
    last: dict[Cell, SelectionRecord] = {}
    data: dict[str, str] = {}
    for record in records:
        if isinstance(record, SelectionRecord):
            last[record.cell] = record
            data[record.cell.dataset] = record.data
    return {cell: record for cell, record in last.items() if record.data == data[cell.dataset]}


def recorded_labels(records: Iterable[Record]) -> dict[str, str]:
    """Method (of cells of ensembles, too) -> its label, of those that a selection names; the last one holds."""
    selections = (record for record in records if isinstance(record, SelectionRecord))
    return {one.cell.method: one.label for one in selections if one.label}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the line of a trial stands (line number from 1, offset in bytes), and the trial's status there."""

    number: int
    offset: int
    status: str


def _numbered_lines(
    path: Path,
    size: int | None = None,
    first: int = 1,
    start: int = 0,
    listen: Callable[[bytes], object] | None = None,
) -> Iterator[tuple[int, int, Record]]:
    """Number, offset and record of the lines from `start`, where line `first` begins, up to `size`."""
    if start == size:
        return
    offset = start
    with path.open("rb", buffering=_READ_AT_ONCE) as file:
        file.seek(start)
        for number, line in enumerate(file, first):
            if size is not None and offset >= size:
                return
            if listen is not None:
                listen(line)
            record = _record(line, f"{path}:{number}") if line.strip() else None
            if record is not None and not isinstance(record, SupersededRecord):
                yield number, offset, record
            offset += len(line)


def _record(line: bytes, place: str) -> Line | None:
    """The record in a line; None, with a warning, for a torn one. Raises InputError for any other that has none."""
    try:
        record = decode(line)
    except Malformed as problem:
        raise InputError(f"{place}: the record {problem}; restore or delete the line") from problem
    if record is None:
        if line.endswith(b"\n"):
            raise InputError(f"{place}: found no JSON object, expected one per line; restore or delete the line")
        _warn(f"{place}: the last line is torn (the driver was killed while writing it); passed over")
    return record


def _supersedes(later: _Place, earlier: _Place, trial_id: str, path: Path) -> bool:
    """Whether `later` takes the place of `earlier`, a line of the same trial. Raises InputError on a contradiction."""
    was, now = _json_at(path, earlier.offset), _json_at(path, later.offset)
    if _without_clocks(now) == _without_clocks(was):
        return False  # evaluated again with the same numbers, for the sake of predictions that were gone
    if earlier.status == "failed":
        return True
    if later.status == "failed":
        return False
    if _splits(was) != _splits(now) or _metrics(was) < _metrics(now):  # it ran again to be evaluated on, or by, more
        return True
    raise InputError(
        f"{path}: lines {earlier.number} and {later.number} hold different results of trial {trial_id}, expected one; "
        "delete the line that is wrong"
    )


def _splits(record: dict[str, Any] | None) -> object:
    """The identities of the splits that a trial was evaluated on."""
    return ((record or {}).get("settings") or {}).get("splits")


def _metrics(record: dict[str, Any] | None) -> set[str]:
    """The metrics that a trial was evaluated by."""
    evaluations = (record or {}).get("evaluations") or []
    return {name for at in evaluations for one in at["splits"] for name in one["metrics"]}


_CLOCKS = ("seconds", "finished")


def _without_clocks(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """A record but for when and how fast it was made, which two runs of one trial never share."""
    return record and {name: value for name, value in record.items() if name not in _CLOCKS}


def _json_at(path: Path, offset: int) -> dict[str, Any] | None:
    with path.open("rb") as file:
        file.seek(offset)
        return decode_json(file.readline())


def _write_whole(file: RawIOBase, line: bytes) -> None:
    """Write all of `line`: a full disk takes a part of it first and refuses the rest at the next call."""
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _repair_end(file: RawIOBase) -> None:
    """Leave `file` positioned at the start of a fresh line: complete a whole last line, cut off a torn one."""
    start, tail = _unterminated_tail(file)
    if not tail:
        return
    if decode_json(tail) is not None:
        file.write(b"\n")
    else:
        file.seek(start)
        file.truncate()


def _unterminated_tail(file: RawIOBase) -> tuple[int, bytes]:
    """Offset and bytes of what follows the last newline; the file is left positioned at its end."""
    end = start = file.seek(0, os.SEEK_END)
    tail = b""
    while start > 0 and b"\n" not in tail:
        size = min(_BLOCK, start)
        start -= size
        file.seek(start)
        tail = (file.read(size) or b"") + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    file.seek(end)
    return end - len(tail), tail


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable too: fsync of a file alone may lose its directory entry."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _warn(message: str) -> None:
    warnings.warn(message, LedgerWarning, stacklevel=3)
