"""The ledger in a store, where nothing can be appended: its lines in parts, each named by its offset in the ledger.

The parts, in order, are the ledger. A part is created only if absent and never changed. So if two writers both believe
to be the only one, at most one of them can extend the ledger: the other finds a part under the name of its own. A part
is written whole or not at all. So whenever a writer dies, the parts are a prefix of its local ledger.

Beside the parts lies `ledger.jsonl`, a copy of the first parts, which spares readers from fetching them one by one. A
longer copy replaces it now and then. Nothing depends on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from flyp_sweep.results.ledger.file import Ledger
from flyp_sweep.results.ledger.run_folder import LEDGER
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.object_store import Storage

FOLDER, SUFFIX, DIGITS = "ledger", ".jsonl", 15
PART_BYTES = 8 * 2**20
AT_ONCE = 64
"""Parts that are fetched together."""
COPY_EVERY = 500
"""Parts that a reader fetches at most, besides the copy."""


class LedgerParts:
    """The parts of one ledger; `end` and `count` are those of the parts that were fetched or made here."""

    def __init__(self, run: Storage) -> None:
        self._run = run
        self._folder = run.below(FOLDER)
        self.end = 0
        self.count = 0
        self._copied = 0

    def exist(self) -> bool:
        return bool(self._sizes())

    def fetch(self) -> Iterator[bytes]:
        """The parts in their order, those of the copy as one. Raises InputError where one is missing."""
        copy = self._run.read(LEDGER) or b""
        sizes = self._sizes()  # later than the copy, so it is not the longer one
        names, ends = list(sizes), [int(name.removesuffix(SUFFIX)) + size for name, size in sizes.items()]
        if len(copy) in ends:  # what ends elsewhere is no copy of these parts
            self.end, self.count = len(copy), ends.index(len(copy)) + 1
            yield copy
        self._copied = self.count
        for at in range(self.count, len(names), AT_ONCE):
            some = names[at : at + AT_ONCE]
            for name, part in zip(some, self._folder.read_all(some), strict=True):
                if name != self._name:
                    raise InputError(
                        f"{self._folder.url}: found {name}, expected {self._name}: parts of the ledger were removed or "
                        "written by other means; restore them"
                    )
                self.end += len(part)
                self.count += 1
                yield part

    def copy(self, ledger: Ledger, every: int = COPY_EVERY) -> None:
        """Copy what the parts hold, from the `ledger` that they were made of, once there are `every` more."""
        if self.count - self._copied >= every:
            with ledger.path.open("rb") as file:
                self._run.write(LEDGER, file.read(self.end))
            self._copied = self.count

    def extend(self, lines: bytes) -> None:
        """Add whole lines at the end. Raises Taken when another writer was faster, StorageError as a store does."""
        self._folder.create(self._name, lines)
        self.end += len(lines)
        self.count += 1

    def _sizes(self) -> dict[str, int]:
        return {name: size for name, size in self._folder.sizes().items() if name.removesuffix(SUFFIX).isdecimal()}

    @property
    def url(self) -> str:
        return self._folder.url

    @property
    def _name(self) -> str:
        """Of the next part."""
        return f"{self.end:0{DIGITS}}{SUFFIX}"


def fetch_ledger(parts: LedgerParts, ledger: Ledger) -> None:
    """Have `ledger`, a file that need not exist, hold what the store does; what it has beyond that stays.

    Raises InputError when the two differ: neither continues the other.
    """
    ledger.repair()
    with os.fdopen(os.open(ledger.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
        for part in parts.fetch():
            at = parts.end - len(part)
            file.seek(at)
            own = file.read(len(part))
            if not part.startswith(own):
                raise InputError(
                    f"{ledger.path}: found other lines after byte {at} than {parts.url} has (two drivers went on from "
                    "there), expected one to continue the other; nothing is lost: move "
                    f"{ledger.path.parent} away, it stays a whole run, and go on"
                )
            file.seek(at + len(own))
            file.write(part[len(own) :])
        file.flush()
        os.fsync(file.fileno())
