"""The ledger in a store: two writers cannot both extend it, and every death leaves the beginning of a ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from ledgers import Example, record_of

from flyp_sweep.orchestrator.store import ledger_parts
from flyp_sweep.orchestrator.store.ledger_parts import LedgerParts, fetch_ledger
from flyp_sweep.results.ledger.file import Ledger
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.object_store import Storage, Taken


@pytest.fixture
def store() -> Storage:
    return Storage(f"memory://{uuid4().hex}/run")


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return Example().run()


def written(folder: Path, records: list[dict[str, Any]]) -> Ledger:
    folder.mkdir(exist_ok=True)
    ledger = Ledger(folder / "ledger.jsonl")
    for record in records:
        ledger.append(record_of(record))
    return ledger


def publish(parts: LedgerParts, ledger: Ledger, most: int = 2000) -> None:
    while lines := ledger.whole_lines(parts.end, most):
        parts.extend(lines)


def test_the_parts_in_order_are_the_ledger(store, records, tmp_path):
    ledger = written(tmp_path / "a", records)
    parts = LedgerParts(store)
    publish(parts, ledger)
    assert parts.count > 3
    assert next(iter(store.below("ledger").sizes())) == f"{0:015}.jsonl"
    again = Ledger(tmp_path / "again")
    fetch_ledger(LedgerParts(store), again)
    assert again.path.read_bytes() == ledger.path.read_bytes()
    fetch_ledger(LedgerParts(store), again)
    assert again.load() == ledger.load(), "to fetch it twice changes nothing"


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_many_parts_are_fetched_in_their_order(store, tmp_path, monkeypatch, count):
    monkeypatch.setattr(ledger_parts, "AT_ONCE", count)
    lines = [json.dumps({"n": n}).encode() + b"\n" for n in range(100)]
    parts = LedgerParts(store)
    for line in lines:
        parts.extend(line)
    assert list(LedgerParts(store).fetch()) == lines


def test_of_two_writers_at_the_same_end_one_is_stopped(store, records, tmp_path):
    first, second = LedgerParts(store), LedgerParts(store)
    first.extend(b'{"a": 1}\n')
    list(second.fetch())
    first.extend(b'{"a": 2}\n')
    with pytest.raises(Taken):
        second.extend(b'{"a": 3}\n')
    with pytest.raises(Taken):
        second.extend(b'{"a": 2}\n{"a": 3}\n')
    assert b"".join(LedgerParts(store).fetch()) == b'{"a": 1}\n{"a": 2}\n'


def test_a_part_whose_arrival_was_not_heard_of_is_made_again_without_harm(store):
    parts = LedgerParts(store)
    store.below("ledger").create(f"{0:015}.jsonl", b"{}\n")
    parts.extend(b"{}\n")
    assert (parts.end, parts.count) == (3, 1)


@pytest.mark.parametrize("kept", [0, 3])
def test_what_a_copy_lacks_is_fetched_and_what_it_has_beyond_stays(store, records, tmp_path, kept):
    ledger = written(tmp_path / "a", records[:5])
    publish(LedgerParts(store), ledger)
    behind = written(tmp_path / "behind", records[:kept])
    fetch_ledger(LedgerParts(store), behind)
    assert behind.path.read_bytes() == ledger.path.read_bytes()
    ahead = written(tmp_path / "a", records[5:])
    before = ahead.path.read_bytes()
    parts = LedgerParts(store)
    fetch_ledger(parts, ahead)
    assert ahead.path.read_bytes() == before
    publish(parts, ahead)
    assert b"".join(LedgerParts(store).fetch()) == before


def test_a_torn_last_line_of_a_copy_is_cut_off_and_a_whole_one_completed(store, records, tmp_path):
    ledger = written(tmp_path / "a", records[:5])
    publish(LedgerParts(store), ledger)
    whole = ledger.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for torn in (whole[:-30], b"".join(lines[:4]) + b'{"kind": "tr', whole[:-1]):
        ledger.path.write_bytes(torn)
        fetch_ledger(LedgerParts(store), ledger)
        assert ledger.path.read_bytes() == whole


def test_copies_that_went_different_ways_are_refused_and_stay(store, records, tmp_path):
    publish(LedgerParts(store), written(tmp_path / "a", records[:5]))
    other = written(tmp_path / "b", [*records[:3], *records[6:]])
    before = other.path.read_bytes()
    with pytest.raises(InputError, match=r"other lines after byte \d+ .* nothing is lost: move .* away") as refused:
        fetch_ledger(LedgerParts(store), other)
    assert "\n" not in str(refused.value)
    assert other.path.read_bytes() == before


def test_a_part_that_is_missing_is_named(store):
    parts = LedgerParts(store)
    for n in range(3):
        parts.extend(b'{"n": %d}\n' % n)
    store.below("ledger").remove([f"{9:015}.jsonl"])
    with pytest.raises(InputError, match=rf"found {18:015}\.jsonl, expected {9:015}\.jsonl"):
        list(LedgerParts(store).fetch())


def test_a_copy_spares_the_parts_that_it_holds(store, records, tmp_path):
    ledger = written(tmp_path / "a", records[:8])
    parts = LedgerParts(store)
    publish(parts, ledger, most=1)
    parts.copy(ledger, every=9)
    assert store.read("ledger.jsonl") is None, "too soon"
    parts.copy(ledger, every=8)
    whole = ledger.path.read_bytes()
    assert store.read("ledger.jsonl") == whole
    assert list(LedgerParts(store).fetch()) == [whole]
    written(tmp_path / "a", records[8:10])
    publish(parts, ledger, most=1)
    again = LedgerParts(store)
    with mock.patch.object(Storage, "read_all", autospec=True, side_effect=Storage.read_all) as fetched:
        assert b"".join(again.fetch()) == ledger.path.read_bytes()
    assert (again.end, again.count) == (parts.end, parts.count) == (ledger.path.stat().st_size, 10)
    assert sum(len(call.args[1]) for call in fetched.call_args_list) == 2
    copy = Ledger(tmp_path / "copy")
    fetch_ledger(LedgerParts(store), copy)
    assert copy.path.read_bytes() == ledger.path.read_bytes()


def test_a_copy_that_a_slow_driver_wrote_late_or_that_is_none_does_no_harm(store, records, tmp_path):
    ledger = written(tmp_path / "a", records[:6])
    publish(LedgerParts(store), ledger, most=1)
    whole = ledger.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for copy in (b"".join(lines[:2]), whole[:-5], b"something else", b"", whole + b"{}\n"):
        store.write("ledger.jsonl", copy)
        assert b"".join(LedgerParts(store).fetch()) == whole


def test_the_copy_never_holds_what_was_not_published(store, records, tmp_path):
    ledger = written(tmp_path / "a", records[:4])
    parts = LedgerParts(store)
    publish(parts, ledger)
    published = ledger.path.read_bytes()
    written(tmp_path / "a", records[4:6])
    parts.copy(ledger, every=1)
    assert store.read("ledger.jsonl") == published
