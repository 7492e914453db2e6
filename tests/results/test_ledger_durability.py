"""What is in the ledger when `append` returns, or raises: the whole line on the disk, or none of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyp_sweep.results.ledger.file import Ledger


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[int]]:
    """Inode -> its size whenever it was synced, in order."""
    seen: dict[int, list[int]] = {}
    fsync = os.fsync

    def told(descriptor: int) -> None:
        fsync(descriptor)
        status = os.fstat(descriptor)
        seen.setdefault(status.st_ino, []).append(status.st_size)

    monkeypatch.setattr(os, "fsync", told)
    return seen


def test_every_line_is_synced_whole_and_so_is_the_name_of_a_new_file(tmp_path, example, synced):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    sizes = []
    for seed in range(3):
        ledger.append(example.trial(example.cell(), seed))
        sizes.append(ledger.path.stat().st_size)
    assert synced[ledger.path.stat().st_ino] == sizes
    assert len(synced[tmp_path.stat().st_ino]) == 1


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: a write stops there, and the next one raises."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_line_for_which_there_is_no_room_leaves_the_ledger_as_it_was(tmp_path: Path, example, room):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(example.trial(example.cell(), 0))
    before = ledger.path.read_bytes()
    with largest_file(len(before) + room), pytest.raises(OSError, match="File too large"):
        ledger.append(example.trial(example.cell(), 1))
    assert ledger.path.read_bytes() == before
    ledger.append(example.trial(example.cell(), 1))
    assert len(ledger.load()) == 2
