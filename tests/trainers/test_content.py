"""A machine reads each file once, and never takes changed bytes for the old ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data import content
from flyp_sweep.trainers.data.cache import HASHES, Cache
from flyp_sweep.trainers.data.content import Hashes


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Five files, more than a question to the table holds in these tests; the third has the bytes of the first."""
    paths = [tmp_path / "files" / f"{number}.bin" for number in range(5)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        path.write_bytes(bytes([0 if number == 2 else number]) * 100)
    return list(map(str, paths))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read from now on, by name."""
    names: list[str] = []
    digest = hashlib.file_digest

    def noted(file: Any, algorithm: Any) -> Any:
        names.append(os.path.basename(file.name))
        return digest(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    monkeypatch.setattr(content, "AT_ONCE", 2)
    return names


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as unchanged for long enough to be remembered."""
    monkeypatch.setattr(content, "UNSETTLED_SECONDS", -60.0)


def test_equal_bytes_have_equal_hashes_and_others_have_not(files: list[str], tmp_path: Path) -> None:
    found = Hashes(tmp_path / "cache").of(files)
    assert found.tolist() == [hashlib.sha256(Path(path).read_bytes()).digest()[:16] for path in files]
    assert found[0] == found[2]
    assert len(set(found.tolist())) == 4
    assert Hashes(None).of([]).shape == (0,)


def test_a_file_is_read_once_whoever_asks(files: list[str], read: list[str], settled: None, tmp_path: Path) -> None:
    first = Hashes(tmp_path / "cache").of(files[:4])
    assert sorted(read) == ["0.bin", "1.bin", "2.bin", "3.bin"]
    read.clear()
    assert np.array_equal(Hashes(tmp_path / "cache").of(files)[:4], first)
    assert read == ["4.bin"]
    read.clear()
    Hashes(None).of(files)
    assert len(read) == 5, "without a cache nothing is remembered"


def replaced_in_place(path: Path) -> None:
    path.write_bytes(b"x" * 100)


def replaced_by_another(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(b"x" * 100)
    other.replace(path)


@pytest.mark.parametrize("change", [replaced_in_place, replaced_by_another])
@pytest.mark.parametrize("was_settled", [True, False])
def test_other_bytes_of_equal_path_size_and_time_are_read(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, was_settled: bool
) -> None:
    """As `cp -p` leaves them; without a pause, also when the clock of the disk has not ticked in between."""
    if was_settled:
        monkeypatch.setattr(content, "UNSETTLED_SECONDS", -60.0)
    path = Path(files[1])
    before, times = Hashes(tmp_path / "cache").of(files), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    written = path.stat().st_ctime_ns
    while was_settled and path.stat().st_ctime_ns == written:  # the disk's clock ticks every few milliseconds
        path.touch()
    change(path)
    os.utime(path, ns=times)
    after = Hashes(tmp_path / "cache").of(files)
    assert after[1] == hashlib.sha256(b"x" * 100).digest()[:16]
    assert (after == before).tolist() == [True, False, True, True, True]


def test_a_damaged_table_is_begun_anew(files: list[str], read: list[str], settled: None, tmp_path: Path) -> None:
    (tmp_path / HASHES).write_bytes(b"this is no table" * 100)
    first = Hashes(tmp_path).of(files)
    assert np.array_equal(Hashes(tmp_path).of(files), first)
    read.clear()
    assert np.array_equal(Hashes(tmp_path).of(files), first)
    assert read == []


def test_a_cache_that_cannot_be_written_is_no_trouble(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert len(Hashes(tmp_path / "file").of(files)) == 5


def test_a_file_that_is_gone_is_named(files: list[str], tmp_path: Path) -> None:
    os.unlink(files[3])
    with pytest.raises(InputError, match=r"3\.bin: the file cannot be read \(No such file"):
        Hashes(tmp_path / "cache").of(files)


def test_much_to_read_is_said_once(
    files: list[str], settled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "WORTH_A_LINE", 450)
    said: list[str] = []
    for _ in range(2):
        Hashes(tmp_path / "cache", said.append).of(files)
    assert said == ["reading 0 GB in 5 files, once, to identify them by content"]


def test_clearing_the_cache_forgets_the_hashes(
    files: list[str], read: list[str], settled: None, tmp_path: Path
) -> None:
    cache = Cache(tmp_path, 10**9)
    Hashes(tmp_path).of(files)
    assert cache.clear() > 0
    read.clear()
    Hashes(tmp_path).of(files)
    assert len(read) == 5
