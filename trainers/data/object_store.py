"""A folder in an object store, named by a URL: a small layer on fsspec for run folders and checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError

S3 = ("s3", "s3a")
_QUICK = {"config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}}
"""Short timeouts and a single attempt: callers retry themselves, and may have other work meanwhile."""
_NO_BUCKET = "specified bucket"
_USER = re.compile(r"(?<=://)[^/\s@]*(?=@)")


class StorageError(Exception):
    """The store refused a request or did not answer: one line, without credentials."""


class Taken(Exception):
    """The object to create exists already, with other content."""


class Storage:
    """The objects whose names begin with one URL, e.g. `s3://bucket/runs/pcam`.

    The environment sets credentials and endpoint (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL` and so on). No method caches.
    Each raises StorageError if the store refuses or does not answer.
    """

    def __init__(self, url: str) -> None:
        """Raises InputError for an invalid URL or a missing package; does not contact the store."""
        import fsspec

        self.url = url.rstrip("/")
        protocol, _, rest = self.url.partition("://")
        if _USER.search(self.url):
            raise InputError(
                f"{_told(url)}: found credentials in the URL; put them into the environment (AWS_ACCESS_KEY_ID, ...)"
            )
        if not all(rest.split("/")) or "/" not in rest:
            raise InputError(f"{url}: found no folder in a store, expected e.g. s3://bucket/runs/name")
        options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, **options, **(_QUICK if protocol in S3 else {}))
        except ImportError as error:
            what = "pip install 'flyp-sweep[s3]'" if protocol in S3 else one_line(str(error))
            raise InputError(f"{url}: a package for {protocol}:// is not installed; {what}") from None
        except Exception as error:  # file systems raise anything for an odd URL or configuration
            raise InputError(f"{url}: cannot be opened ({_told(error)}); expected e.g. s3://bucket/runs/name") from None
        if protocol in S3:
            self._fs.retries = 1  # in addition to the client's own
        self._refuse_careless(protocol)

    def _refuse_careless(self, protocol: str) -> None:
        from fsspec import AbstractFileSystem

        if type(self._fs).pipe_file is AbstractFileSystem.pipe_file and not self._fs.async_impl:
            raise InputError(
                f"{self.url}: {protocol}:// cannot create objects exclusively, which is needed to keep two drivers "
                "apart; use s3://, or mount it and give a path"
            )

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def below(self, name: str) -> Storage:
        """The folder `name` in this one."""
        made = object.__new__(Storage)
        made.url, made._fs, made._root = f"{self.url}/{name}", self._fs, f"{self._root}/{name}"
        return made

    def create(self, name: str, content: bytes) -> None:
        """Make a new object. Raises Taken if one with other content exists.

        An object with equal content counts as made here: a request may succeed although it seemed to fail.
        """
        try:
            with self._asked(FileExistsError):
                self._fs.pipe_file(self._path(name), content, mode="create")
        except FileExistsError:
            if self.read(name) != content:
                raise Taken(f"{self.url}/{name}") from None

    def write(self, name: str, content: bytes) -> None:
        """Make or replace an object, atomically."""
        with self._asked():
            self._fs.pipe_file(self._path(name), content)

    def read(self, name: str) -> bytes | None:
        """The content of an object; None if it is absent."""
        try:
            with self._asked(FileNotFoundError):
                return bytes(self._fs.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """The contents of existing objects, fetched in parallel."""
        paths = [self._path(name) for name in names]
        with self._asked():
            found = self._fs.cat(paths)
        return [found[path] for path in paths] if isinstance(found, dict) else [found]

    def sizes(self) -> dict[str, int]:
        """The objects directly in this folder: name -> bytes, sorted by name."""
        try:
            with self._asked(FileNotFoundError):
                found = self._fs.ls(self._root, detail=True)
        except FileNotFoundError:
            return {}
        sizes = {one["name"].rpartition("/")[2]: int(one["size"]) for one in found if one["type"] == "file"}
        return {name: sizes[name] for name in sorted(sizes) if name}

    def written(self, name: str) -> float:
        """When an object was written, in seconds by the store's own clock; 0 if it is absent."""
        try:
            with self._asked(FileNotFoundError):
                when: datetime = self._fs.modified(self._path(name))
        except FileNotFoundError:
            return 0.0
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()

    def remove(self, names: Iterable[str]) -> None:
        """Remove those of the objects that exist."""
        for name in names:
            try:
                with self._asked(FileNotFoundError):
                    self._fs.rm_file(self._path(name))
            except FileNotFoundError:
                continue

    def upload(self, path: Path, name: str) -> None:
        """Make or replace an object from a file, atomically."""
        with self._asked():
            self._fs.put_file(str(path), self._path(name))

    def download(self, name: str, path: Path) -> bool:
        """Copy an object into a file; False if the object is absent."""
        try:
            with self._asked(FileNotFoundError):
                self._fs.get_file(self._path(name), str(path))
        except FileNotFoundError:
            return False
        return True

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _asked(self, *answers: type[OSError]) -> Iterator[None]:
        """Convert a client's errors into StorageError, except `answers`.

        A missing bucket is always an error, although clients report it like a missing object.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, answers) and _NO_BUCKET not in str(error):
                raise
            raise StorageError(_told(error)) from None


def _told(said: object) -> str:
    text = one_line(str(said)) or type(said).__name__
    return _USER.sub("***", text)[:300]
