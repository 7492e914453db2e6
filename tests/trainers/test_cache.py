"""What is kept on the disk is what would be computed, is computed once, and never grows beyond its bound."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spaces import space_with
from trees import write_noise

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.datasets.base import file_identity
from flyp_sweep.trainers.runner import TrialRunner

FACTS = {"kind": "numbers", "of": "a test"}
SHAPE = (5, 3)
NUMBERS = np.arange(15, dtype="float32").reshape(SHAPE)


class Source:
    """Rows in two portions; says how often they were asked for."""

    def __init__(self, numbers: np.ndarray = NUMBERS) -> None:
        self.numbers = numbers
        self.asked = 0

    def __call__(self) -> Iterator[np.ndarray]:
        self.asked += 1
        yield self.numbers[:2]
        yield self.numbers[2:]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**6)


def rows(cache: Cache, source: Any, shape: tuple[int, ...] = SHAPE, **facts: Any) -> np.ndarray | None:
    return cache.rows(FACTS | facts, shape, "float32", source)


def files(cache: Cache) -> set[str]:
    return {path.suffix for path in cache.folder.iterdir()}


def test_an_array_is_computed_once_for_the_same_facts_whatever_they_are_called_and_mapped_ever_after(
    cache: Cache,
) -> None:
    source = Source()
    for one in (cache, cache, Cache(cache.folder, 10**6)):
        found = rows(one, source)
        assert isinstance(found, np.memmap)
        assert not found.flags.writeable
        np.testing.assert_array_equal(found, NUMBERS)
    rows(cache, source, of="the same under another name")
    assert source.asked == 1
    rows(cache, source, weights="others")
    assert source.asked == 2


def count_and_make(folder: Path, barrier: Any) -> None:
    def slowly() -> Iterator[np.ndarray]:
        with (folder / "asked").open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        yield NUMBERS

    barrier.wait()
    found = rows(Cache(folder / "cache", 10**6), slowly)
    assert found is not None
    np.testing.assert_array_equal(found, NUMBERS)


def test_processes_that_ask_at_once_wait_for_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=count_and_make, args=(tmp_path, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len((tmp_path / "asked").read_text().split()) == 1


def test_what_breaks_off_leaves_no_entry(cache: Cache) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield NUMBERS[:2]
        raise InputError("an image is broken")

    with pytest.raises(InputError, match="an image is broken"):
        rows(cache, broken)
    assert not cache.entries()
    assert ".draft" not in files(cache)
    np.testing.assert_array_equal(rows(cache, Source()), NUMBERS)


@pytest.mark.parametrize("wrong", [NUMBERS[:4], NUMBERS.astype("float64"), NUMBERS[:, :2]])
def test_rows_of_another_form_are_a_mistake(cache: Cache, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        rows(cache, Source(wrong))
    assert not cache.entries()


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_damaged_entry_is_made_anew(cache: Cache, content: bytes | None) -> None:
    source = Source()
    rows(cache, source)
    path = cache.entries()[0].path
    path.write_bytes(path.read_bytes()[:-4] if content is None else content)
    np.testing.assert_array_equal(rows(cache, source), NUMBERS)
    assert source.asked == 2


def test_a_full_disk_and_a_folder_that_cannot_be_made_keep_nothing(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert rows(Cache(tmp_path / "file" / "cache", 10**6), Source()) is None
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert rows(cache, Source()) is None
    assert not cache.entries()
    assert ".draft" not in files(cache)


def test_the_bound_is_kept_by_giving_up_what_is_idle_the_longest_idle_first(tmp_path: Path) -> None:
    size = 1000 * 4
    cache = Cache(tmp_path, 3 * (size + 128))
    numbers = np.zeros((1000, 1), dtype="float32")
    for name in "abc":
        assert rows(cache, Source(numbers), numbers.shape, name=name) is not None
    assert rows(cache, Source(numbers), numbers.shape, name="d") is None, "all others are in use"
    old = {entry.path: time.time() - 86400 * age for age, entry in enumerate(cache.entries(), start=1)}
    for path, used in old.items():
        os.utime(path, (used, used))
    assert rows(cache, Source(numbers), numbers.shape, name="d") is not None
    left = {entry.path for entry in cache.entries()}
    assert len(left) == 3
    assert min(old, key=lambda path: old[path]) not in left
    assert sum(entry.size for entry in cache.entries()) <= cache.max_bytes
    assert rows(cache, Source(np.zeros((10_000, 1), "float32")), (10_000, 1)) is None, "larger than the bound"


def test_an_entry_says_what_it_is_and_clearing_leaves_nothing(cache: Cache) -> None:
    rows(cache, Source())
    entry = cache.entries()[0]
    assert entry.told == ("numbers", "a test")
    assert entry.size > NUMBERS.nbytes
    entry.path.with_suffix(".json").write_text("{")
    assert entry.told == ("numbers", "?")
    assert cache.clear() == entry.size
    assert list(cache.folder.iterdir()) == []
    assert Cache(cache.folder / "absent", 1).entries() == []


def test_the_environment_says_where_and_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYP_SWEEP_CACHE", str(tmp_path))
    monkeypatch.setenv("FLYP_SWEEP_CACHE_GB", "0.5")
    found = Cache.of_machine()
    assert found is not None
    assert (found.folder, found.max_bytes) == (tmp_path, 5 * 10**8)
    for wrong in ("much", "nan", "-1", "inf", ""):
        monkeypatch.setenv("FLYP_SWEEP_CACHE_GB", wrong)
        with pytest.raises(InputError, match="FLYP_SWEEP_CACHE_GB: found"):
            Cache.of_machine()
    monkeypatch.delenv("FLYP_SWEEP_CACHE_GB")
    monkeypatch.setenv("FLYP_SWEEP_CACHE", "off")
    assert Cache.of_machine() is None
    monkeypatch.delenv("FLYP_SWEEP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    found = Cache.of_machine()
    assert found is not None
    assert found.folder == tmp_path / "xdg/flyp-sweep"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", lambda _: (_ for _ in ()).throw(RuntimeError("no home")))
    assert Cache.of_machine() is None


def results(bench: Any, root: Path, cache: Cache | None) -> list[dict[str, Any]]:
    """All repeats' results in a fresh worker."""
    folders = {"train": "train", "id_val": "val", "id_test": "test", "ood": {"far": "far"}}
    space = space_with(dataset={"name": "birds", "folders": folders}, methods=["zeroshot", "lp", "flyp"])
    runner = TrialRunner(space, root, torch.device("cpu"), cache=cache)
    specs = [replace(bench.repeat(cell.method, frontier=True), cell=cell) for cell in space.cells()]
    return [runner.result(spec).to_json() for spec in specs]


def test_results_have_the_same_bits_with_and_without_a_cache_cold_and_warm(
    bench: Any, tmp_path: Path, cache: Cache
) -> None:
    birds = write_noise(tmp_path / "data", "train", "val", "test", "far")
    plain = results(bench, birds, None)
    assert results(bench, birds, cache) == plain
    kinds = sorted(entry.told[0] for entry in cache.entries())
    assert kinds == ["features"] * 4 + ["head"] + ["pixels"] * 3
    before = {entry.path: entry.path.stat().st_ino for entry in cache.entries()}
    assert results(bench, birds, cache) == plain
    assert {entry.path: entry.path.stat().st_ino for entry in cache.entries()} == before


def test_a_file_that_was_replaced_is_another_even_if_it_looks_as_old_and_as_large(tmp_path: Path) -> None:
    path = tmp_path / "image.bmp"
    path.write_bytes(b"one")
    before, times = file_identity(path), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    assert file_identity(path) == before
    time.sleep(0.05)  # file systems tell times apart that are some milliseconds apart
    path.write_bytes(b"two")
    os.utime(path, ns=times)
    assert file_identity(path) != before
