"""Checkpoints in a store: a trial goes on from them on any node, and never waits for them."""

from __future__ import annotations

import pickle
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
import torch
from cutting import cut, go_on

from flyp_sweep.trainers.checkpoints.checkpoint import SUFFIX, Checkpoint, Saved
from flyp_sweep.trainers.checkpoints.remote import REST_SECONDS, RemotePolicy
from flyp_sweep.trainers.data.object_store import Storage, StorageError
from flyp_sweep.trainers.testing.bench import Bench

pytestmark = pytest.mark.slow

LITTLE = Saved({"model/weight": torch.arange(4.0)}, {"epoch": 1})


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def url() -> str:
    return f"memory://{uuid4().hex}/run/running"


def policy(url: str, **options: Any) -> RemotePolicy:
    """As a worker gets it from the driver."""
    made = RemotePolicy(Path("checkpoints"), url=url, **{"every_seconds": 0.0, **options})
    return pickle.loads(pickle.dumps(made))


def saved(checkpoint: Checkpoint, what: Saved = LITTLE) -> None:
    checkpoint.offer(lambda: what)
    checkpoint.flush()


def test_a_trial_ends_as_if_undisturbed_on_another_node(bench: Bench, url: str, scratch: Path) -> None:
    spec = bench.spec("flyp", epochs=3, shots=4)
    first = policy(url).checkpoint(spec.trial_id)
    cut(bench, spec, first, 2)
    first.flush()
    again = policy(url).checkpoint(spec.trial_id)
    reports, fitted = go_on(bench, spec, again)
    expected_reports, expected = go_on(bench, spec, None)
    assert again.trouble is None
    assert reports == expected_reports[2:]
    assert bench.same(fitted.state, expected.state)
    again.flush()
    assert not list(scratch.rglob("*.draft")), "files on their way are gone when they have arrived"


def test_nothing_is_loaded_where_nothing_was_saved(url: str) -> None:
    checkpoint = policy(url).checkpoint("trial")
    assert checkpoint.load() is None
    assert checkpoint.trouble is None


def test_a_trial_goes_on_while_its_checkpoint_is_sent(url: str) -> None:
    arrived = threading.Event()

    def slow(store: Storage, path: Path, name: str) -> None:
        arrived.wait(20)
        upload(store, path, name)

    upload = Storage.upload
    checkpoint = policy(url).checkpoint("trial")
    with mock.patch.object(Storage, "upload", slow):
        began = time.monotonic()
        checkpoint.offer(lambda: LITTLE)
        for epoch in range(2, 5):  # due, but one is being sent: the latest is saved after it
            checkpoint.offer(lambda epoch=epoch: Saved(LITTLE.tensors, {"epoch": epoch}))
        assert time.monotonic() - began < 5
        threading.Timer(0.2, arrived.set).start()
        checkpoint.flush()
    found = policy(url).checkpoint("trial").load()
    assert found is not None
    assert found.facts["epoch"] == 4
    assert found.facts["seconds"] >= 0
    assert torch.equal(found.tensors["model/weight"], LITTLE.tensors["model/weight"])


def test_a_store_that_is_down_costs_the_checkpoint_alone_and_is_not_asked_by_every_trial(url: str) -> None:
    worker = policy(url)
    with mock.patch.object(Storage, "upload", side_effect=StorageError("it is down")):
        checkpoint = worker.checkpoint("trial")
        saved(checkpoint)
        assert checkpoint.trouble == "no checkpoint was written (it is down)"
    with mock.patch.object(Storage, "download", side_effect=StorageError("it is down")) as asked:
        first, second = worker.checkpoint("a"), worker.checkpoint("b")
        assert first.load() is second.load() is None
        assert first.trouble == "no checkpoint could be looked for (it is down)"
        assert asked.call_count == 1
        for rest in (2 * REST_SECONDS, 4 * REST_SECONDS):
            worker.shelf._resting_until = 0.0  # it has rested, and is no better
            assert worker.checkpoint("c").load() is None
            assert worker.shelf._resting_until - time.monotonic() > rest - 1


def test_a_node_without_the_package_of_the_store_runs_trials_all_the_same(scratch: Path) -> None:
    checkpoint = policy("nonsense://bucket/run/running").checkpoint("trial")
    assert checkpoint.load() is None
    assert "cannot be opened" in str(checkpoint.trouble)
    saved(checkpoint)
    assert "no checkpoint was written" in str(checkpoint.trouble)


def test_a_damaged_checkpoint_costs_epochs_and_no_more(url: str) -> None:
    Storage(url).write(f"trial{SUFFIX}", b"x" * 200)
    checkpoint = policy(url).checkpoint("trial")
    assert checkpoint.load() is None
    assert "began anew" in str(checkpoint.trouble)


def test_all_checkpoints_together_stay_within_the_bound(url: str) -> None:
    saved(policy(url).checkpoint("one"))
    (size,) = Storage(url).sizes().values()
    tight = policy(url, max_bytes=int(1.5 * size))
    refused = tight.checkpoint("another")
    saved(refused)
    assert "checkpoints.max_gb" in str(refused.trouble)
    again = tight.checkpoint("one")  # to replace one's own takes no more room
    saved(again)
    assert again.trouble is None
    assert list(Storage(url).sizes()) == [f"one{SUFFIX}"]


def test_a_temporary_folder_that_cannot_be_written_costs_the_checkpoint_alone(
    url: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch / "file"))
    checkpoint = policy(url).checkpoint("trial")
    saved(checkpoint)
    assert "no checkpoint was written" in str(checkpoint.trouble)
    assert checkpoint.load() is None
