"""A folder in a store: what run folders and checkpoints rely on, against a file system in memory and a real server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest import mock
from uuid import uuid4

import pytest
from stores import BUCKET, SECRET, s3_server

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.object_store import Storage, StorageError, Taken

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log"):
        yield


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Storage:
    if request.param == "s3":
        request.getfixturevalue("server")
    return Storage(f"{request.param}://{BUCKET}/{uuid4().hex}/run")


def test_what_is_written_is_read_and_listed_by_name(store: Storage) -> None:
    assert store.sizes() == {}
    assert store.read("a") is None
    assert store.written("a") == 0
    store.write("b", b"12")
    store.write("a", b"1")
    store.below("c").write("d", b"")
    assert list(store.sizes().items()) == [("a", 1), ("b", 2)]
    assert store.read_all(["b", "a"]) == [b"12", b"1"]
    assert store.read_all(["a"]) == [b"1"]
    store.remove(["a", "absent"])
    assert list(store.sizes()) == ["b"]


def test_an_object_is_made_only_where_there_is_none_or_the_same(store: Storage) -> None:
    store.create("a", b"mine")
    store.create("a", b"mine")  # a request that is repeated because its answer was lost
    with pytest.raises(Taken):
        store.create("a", b"other")
    assert store.read("a") == b"mine"


def test_files_come_and_go(store: Storage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    store.upload(tmp_path / "file", "tables/file")
    assert store.download("tables/file", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == b"x" * 100
    assert not store.download("absent", tmp_path / "absent")


def test_the_store_s_own_clock_is_read_off_an_object(store: Storage) -> None:
    store.write("a", b"1")
    first = store.written("a")
    store.write("a", b"1")
    assert store.written("a") >= first > 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", "found no folder in a store"),
        ("s3://bucket", "found no folder in a store"),
        ("s3://bucket//x", "found no folder in a store"),
        ("nonsense://bucket/x", "cannot be opened"),
        ("s3://me:word@bucket/x", "found credentials in the URL"),
        ("local://folder/x/y", "cannot create objects exclusively"),
    ],
)
def test_what_is_no_url_of_a_store_is_refused_in_a_line(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        Storage(url)
    assert "\n" not in str(refused.value)
    assert "word" not in str(refused.value)


def test_a_package_that_is_not_installed_is_named() -> None:
    registry = import_module("fsspec.registry")  # the package has something else under this name
    loaded = {name: found for name, found in registry._registry.items() if "s3" not in name}
    with (
        mock.patch.dict(registry._registry, loaded, clear=True),
        mock.patch.dict(sys.modules, {"s3fs": None}),
        pytest.raises(InputError, match=r"pip install 'flyp-sweep\[s3]'"),
    ):
        Storage("s3://bucket/x")


@pytest.mark.usefixtures("server")
def test_a_bucket_that_is_not_there_is_not_an_object_that_is_not_there() -> None:
    with pytest.raises(StorageError, match="bucket does not exist"):
        Storage("s3://no-such-bucket/x").read("a")


def test_a_store_that_is_down_is_told_in_a_line_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hidden@127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(StorageError) as failed:
        Storage("s3://bucket/x").read("a")
    assert "\n" not in str(failed.value)
    assert "hidden" not in str(failed.value)
    assert SECRET not in str(failed.value)
