"""Checkpoints in a store: a trial goes on from them on any node, and never waits for them; and what all of them do."""

from __future__ import annotations

import pickle
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
import torch
from cutting import cut, go_on

from flyp_sweep.trainers.checkpoints.checkpoint import SUFFIX, Checkpoint, Policy, Saved
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
        assert first.trouble == "the store could not be searched for a checkpoint (it is down)"
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


# In a folder and in a store


@pytest.fixture(params=["folder", "store"])
def kept(request: pytest.FixtureRequest, url: str, scratch: Path) -> Callable[..., Policy]:
    """Makes policies for one place."""
    return partial(policy, url) if request.param == "store" else partial(Policy, scratch / "running", 0.0)


def write(place: Policy, content: bytes) -> None:
    """Put `content` where the checkpoint of `trial` is kept."""
    if isinstance(place, RemotePolicy):
        place.shelf.store.write(f"trial{SUFFIX}", content)
    else:
        place.path("trial").write_bytes(content)


def test_what_was_saved_is_loaded_and_nothing_where_nothing_was(kept: Callable[..., Policy]) -> None:
    checkpoint = kept().checkpoint("trial")
    assert (checkpoint.load(), checkpoint.trouble) == (None, None)
    saved(checkpoint)
    found = kept().checkpoint("trial").load()
    assert found is not None
    assert torch.equal(found.tensors["model/weight"], LITTLE.tensors["model/weight"])
    assert found.facts["epoch"] == 1


@pytest.mark.parametrize("damaged", [b"", b"\x08\0\0\0\0\0\0\0{}", b"x" * 200])
def test_a_damaged_checkpoint_is_none_and_noted(kept: Callable[..., Policy], damaged: bytes) -> None:
    saved(kept().checkpoint("trial"))
    write(kept(), damaged)
    checkpoint = kept().checkpoint("trial")
    assert checkpoint.load() is None
    assert "began anew" in str(checkpoint.trouble)


def test_all_checkpoints_together_stay_within_the_bound(kept: Callable[..., Policy]) -> None:
    large = Saved({"model/weight": torch.zeros(10_000)}, {"epoch": 1})
    saved(kept().checkpoint("one"), large)
    tight = kept(max_bytes=60_000)
    refused, again = tight.checkpoint("another"), tight.checkpoint("one")
    saved(refused, large)
    assert "checkpoints.max_gb" in str(refused.trouble)
    assert kept().checkpoint("another").load() is None
    saved(again, large)  # to replace one's own takes no more room
    assert again.trouble is None


def test_a_folder_that_cannot_be_written_costs_the_checkpoint_alone(
    kept: Callable[..., Policy], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch / "running").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch / "running"))
    checkpoint = kept().checkpoint("trial")
    saved(checkpoint)
    assert "no checkpoint was written" in str(checkpoint.trouble)
    assert checkpoint.load() is None
