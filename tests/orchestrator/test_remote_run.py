"""A run in a store: what of it is there when, whatever becomes of the store and of the driver."""

from __future__ import annotations

import time
from pathlib import Path
from unittest import mock
from uuid import uuid4

import pytest
from ledgers import Example, record_of
from waiting import until

from flyp_sweep.orchestrator.store import lease, remote_run
from flyp_sweep.orchestrator.store.ledger_parts import LedgerParts
from flyp_sweep.orchestrator.store.lock import this_driver
from flyp_sweep.orchestrator.store.remote_run import RemoteRun, opened
from flyp_sweep.results.ledger.file import Ledger
from flyp_sweep.results.ledger.run_folder import LEDGER
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.object_store import Storage, StorageError

RECORDS = Example().run()


@pytest.fixture
def url() -> str:
    return f"memory://{uuid4().hex}/runs/x"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs" / "x"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_run, "EVERY_SECONDS", 0.02)
    monkeypatch.setattr(remote_run, "HURRY_SECONDS", 0.5)


def in_store(url: str) -> bytes:
    return b"".join(LedgerParts(Storage(url)).fetch())


def append(path: Path, first: int, last: int) -> bytes:
    """Have the ledger in the run folder `path` hold these of the RECORDS, too; returns all of it."""
    path.mkdir(exist_ok=True)
    (path / "space.yaml").write_text("name: x\n")
    for record in RECORDS[first:last]:
        Ledger(path / LEDGER).append(record_of(record))
    return (path / LEDGER).read_bytes()


def down(what: str = "create") -> mock._patch[object]:
    return mock.patch.object(Storage, what, side_effect=StorageError("the store is down"))


def test_lines_are_published_as_they_come_and_what_is_made_of_them_at_the_end(url: str, path: Path) -> None:
    with opened(url, path) as one:
        assert not path.exists(), "a run that has not begun leaves no folder"
        append(path, 0, 2)
        one.start()
        until(lambda: in_store(url) == (path / LEDGER).read_bytes())
        assert Storage(url).read("space.yaml") == b"name: x\n"
        whole = append(path, 2, 5)
        until(lambda: in_store(url) == whole)
        (path / "tables").mkdir()
        (path / "tables/comparison.txt").write_text("table")
        (path / "report.html").write_text("report")
        whole = append(path, 5, 6)
        assert one.close(hurry=False) is None
    assert in_store(url) == whole
    assert Storage(url).below("tables").read("comparison.txt") == b"table"
    assert Storage(url).read("report.html") == b"report"
    assert Storage(url).read(LEDGER) == whole, "what is in the store is a run folder, too"


def test_a_store_that_is_down_for_a_while_misses_nothing_and_its_trouble_is_logged_when_it_is_news(
    url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="flyp_sweep"), opened(url, path) as one:
        append(path, 0, 1)
        one.start()
        with down():
            whole = append(path, 1, 4)
            until(lambda: one._failures > 2)
            assert one.lost is None
        until(lambda: in_store(url) == whole)
        until(lambda: one.trouble is None)
    assert [record.getMessage() for record in caplog.records] == [
        f"{url}: cannot be written: the store is down",
        f"{url}: can be written again",
    ]


def test_what_could_not_be_published_is_said_and_published_when_the_run_goes_on(url: str, path: Path) -> None:
    with opened(url, path) as one:
        append(path, 0, 1)
        one.start()
        until(lambda: in_store(url))
        with down():
            whole = append(path, 1, 4)
            assert one.close(hurry=True) == "the store is down"
    assert in_store(url) != whole
    with opened(url, path):
        assert in_store(url) == whole


def test_another_machine_goes_on_from_what_is_in_the_store(url: str, path: Path, tmp_path: Path) -> None:
    with opened(url, path) as one:
        whole = append(path, 0, 4)
        one.start()
        assert one.close(hurry=False) is None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with opened(url, elsewhere / "x"):
        assert (elsewhere / "x" / LEDGER).read_bytes() == whole
        assert (elsewhere / "x" / "space.yaml").read_text() == "name: x\n"


def test_a_competing_part_ends_the_uploads(url: str, path: Path) -> None:
    with opened(url, path) as one:
        whole = append(path, 0, 2)
        one.start()
        until(lambda: in_store(url) == whole)
        theirs = LedgerParts(Storage(url))
        list(theirs.fetch())
        theirs.extend(b'{"theirs": 1}\n')
        append(path, 2, 4)
        until(lambda: one.lost)
        assert "another flyp-sweep has taken this run over" in str(one.lost)
        assert one.close(hurry=False) == one.lost
    assert in_store(url) == whole + b'{"theirs": 1}\n'
    with pytest.raises(InputError, match=r"move .* away"), opened(url, path):
        pass


def test_a_driver_that_slept_and_was_replaced_adds_nothing(url: str, path: Path) -> None:
    with opened(url, path) as one:
        whole = append(path, 0, 2)
        one.start()
        until(lambda: in_store(url) == whole)
        with mock.patch.object(lease.time, "time", return_value=time.time() + 3600):
            Storage(url).below("lock").write("00000002.json", this_driver().text.encode())
            append(path, 2, 4)
            until(lambda: one.lost)
    assert in_store(url) == whole


def test_the_copy_of_another_run_or_a_run_of_its_own_is_left_alone(url: str, path: Path) -> None:
    before = append(path, 0, 2)
    with pytest.raises(
        InputError, match="found a run folder of its own, expected room for the working copy of memory:"
    ):
        opened(url, path).__enter__()
    (path.parent / ".x.url").write_text("memory://other/x")
    with pytest.raises(InputError, match="found a working copy of memory://other/x") as refused:
        opened(url, path).__enter__()
    assert "\n" not in str(refused.value)
    assert (path / LEDGER).read_bytes() == before
    assert in_store(url) == b""


def test_checkpoints_go_once_their_trials_are_published(url: str, path: Path) -> None:
    running = Storage(url).below("running")
    for name in ("done", "open", "failed"):
        running.write(f"{name}.safetensors", b"")
    with opened(url, path) as one:
        append(path, 0, 2)
        with down():
            one.start()
            one.running.forget("done")
            until(lambda: one.trouble)
            assert len(running.sizes()) == 3
        until(lambda: list(running.sizes()) == ["failed.safetensors", "open.safetensors"])
        one.running.clear(keep={"failed"})
        assert one.close(hurry=False) is None
    assert list(running.sizes()) == ["failed.safetensors"]
    one.running.clear({"failed"})
    one.running.tidy()
    assert running.sizes() == {}


def test_a_long_sweep_makes_no_more_parts_than_can_be_read(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_run, "EVERY_SECONDS", 1.0)
    one = RemoteRun(Storage(url), mock.Mock(), path)
    now = 0.0
    while now < 30 * 24 * 3600:
        now += one._pause
        one._parts.count += 1
    assert 20_000 < one._parts.count < 50_000
    assert one._pause <= 60


def test_what_a_store_says_before_the_start_is_one_line(url: str, path: Path) -> None:
    with (
        down(),
        pytest.raises(InputError, match=r"the store does not answer as it should \(the store is down\)") as said,
    ):
        opened(url, path).__enter__()
    assert "\n" not in str(said.value)
    assert not path.exists()
