"""Who has a run in a store: one driver, by the store's clock alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from unittest import mock
from uuid import uuid4

import pytest

from flyp_sweep.orchestrator.store import lock
from flyp_sweep.orchestrator.store.lease import Lease
from flyp_sweep.orchestrator.store.lock import STALE_SECONDS, Owner, this_driver
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.object_store import Storage, StorageError

ELSEWHERE = Owner("elsewhere", 4711, "2026-01-02T03:04:05+00:00", "another machine", "token")


@pytest.fixture
def store() -> Storage:
    return Storage(f"memory://{uuid4().hex}/run")


def silent(seconds: float) -> mock._patch[float]:
    """A store whose objects in `lock/` were written so many seconds before the one that its clock is read off."""
    written = Storage.written

    def earlier(store: Storage, name: str) -> float:
        return written(store, name) - (0 if name.startswith("probe") else seconds)

    return mock.patch.object(Storage, "written", earlier)


def test_a_second_driver_is_refused_and_told_who_has_it(store):
    with Lease(store):
        with pytest.raises(InputError, match=rf"another flyp-sweep is running .* process {os.getpid()} on ") as refused:
            Lease(store).__enter__()
        assert "\n" not in str(refused.value)
    assert store.below("lock").sizes() == {}, "nothing of an owner stays behind"
    with Lease(store):
        pass


def test_a_holder_elsewhere_counts_as_alive_while_it_gives_signs_of_life(store):
    store.below("lock").write("00000007.json", ELSEWHERE.text.encode())
    with silent(STALE_SECONDS - 20), pytest.raises(InputError, match=r"4711 on elsewhere.*last sign of life 40 s ago"):
        Lease(store).__enter__()
    with silent(STALE_SECONDS + 20), Lease(store):
        assert list(store.below("lock").sizes()) == ["00000008.json"]


def test_a_driver_that_died_on_this_machine_holds_nothing(store):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = replace(this_driver(), pid=child.pid)
    store.below("lock").write("00000001.json", dead.text.encode())
    with Lease(store):
        pass
    store.below("lock").write("00000001.json", replace(dead, machine="another").text.encode())
    with pytest.raises(InputError, match="another flyp-sweep"):
        Lease(store).__enter__()


def test_of_two_that_find_a_dead_one_one_gets_it(store):
    store.below("lock").write("00000001.json", ELSEWHERE.text.encode())
    first, second = Lease(store), Lease(store)
    second._this = replace(this_driver(), token="another").text.encode()
    names = first._names()
    with silent(STALE_SECONDS + 20):
        first.__enter__()
        with mock.patch.object(second, "_names", return_value=names), pytest.raises(InputError, match="another"):
            second.__enter__()
    assert list(store.below("lock").sizes()) == ["00000002.json"]
    first.__exit__()


def test_one_that_was_taken_over_notices_and_keeps_its_hands_off(store, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    asleep = Lease(store)
    asleep.__enter__()
    store.below("lock").write("00000002.json", ELSEWHERE.text.encode())
    deadline = time.monotonic() + 5
    while asleep.lost is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "another flyp-sweep has taken this run over (process 4711 on elsewhere" in asleep.lost
    asleep.__exit__()
    assert list(store.below("lock").sizes()) == ["00000002.json"]


def test_the_driver_gives_signs_of_life_also_after_the_store_was_down(store, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    with Lease(store) as mine:
        with mock.patch.object(Storage, "write", side_effect=StorageError("down")):
            time.sleep(0.1)
        before = store.below("lock").written("00000001.json")
        deadline = time.monotonic() + 5
        while store.below("lock").written("00000001.json") == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert mine.lost is None


def test_a_store_that_replaces_what_it_should_refuse_is_not_taken(store):
    with mock.patch.object(Storage, "create", Storage.write), pytest.raises(InputError, match="ignores If-None-Match"):
        Lease(store).__enter__()


def test_a_garbled_holder_is_waited_for_as_one_that_is_silent(store):
    store.below("lock").write("00000001.json", b"{")
    with pytest.raises(InputError, match="another flyp-sweep is running in this folder"):
        Lease(store).__enter__()
    with silent(STALE_SECONDS + 20), Lease(store):
        pass
