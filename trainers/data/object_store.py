"""A folder in an object store, named by a URL: the little that run folders and checkpoints need of fsspec."""

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
"""A store that is down is tried again by whoever wants something of it, who may have better to do meanwhile."""
_NO_BUCKET = "specified bucket"
_USER = re.compile(r"(?<=://)[^/\s@]*(?=@)")


class StorageError(Exception):
    """What a store said when it did not do as it was asked: one line, without credentials."""


class Taken(Exception):
    """An object that was to be made is there already, and somebody else's."""


class Storage:
    """The objects whose names begin with one URL, e.g. `s3://bucket/runs/pcam`.

    Credentials and endpoint are the environment's (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL` and so on). Every method
    asks the store anew, and raises StorageError when it does not answer or refuses.
    """

    def __init__(self, url: str) -> None:
        """Raises InputError for what is no such URL, or needs a package that is not installed; asks nothing yet."""
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
        except Exception as error:  # whatever a file system makes of an odd URL or configuration
            raise InputError(f"{url}: cannot be opened ({_told(error)}); expected e.g. s3://bucket/runs/name") from None
        if protocol in S3:
            self._fs.retries = 1  # on top of the client's own
        self._refuse_careless(protocol)

    def _refuse_careless(self, protocol: str) -> None:
        from fsspec import AbstractFileSystem

        if type(self._fs).pipe_file is AbstractFileSystem.pipe_file and not self._fs.async_impl:
            raise InputError(
                f"{self.url}: {protocol}:// cannot make an object only where there is none, which keeps two drivers "
                "apart; take s3://, or mount it and give a path"
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
        """Make an object where there is none. Raises Taken where there is one of other content.

        One of the same content is this one: a request that seemed to fail may have been carried out.
        """
        try:
            with self._asked(FileExistsError):
                self._fs.pipe_file(self._path(name), content, mode="create")
        except FileExistsError:
            if self.read(name) != content:
                raise Taken(f"{self.url}/{name}") from None

    def write(self, name: str, content: bytes) -> None:
        """Make an object or replace it, whole."""
        with self._asked():
            self._fs.pipe_file(self._path(name), content)

    def read(self, name: str) -> bytes | None:
        """What is in an object; None when there is none."""
        try:
            with self._asked(FileNotFoundError):
                return bytes(self._fs.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """What is in objects that exist, many at a time."""
        paths = [self._path(name) for name in names]
        with self._asked():
            found = self._fs.cat(paths)
        return [found[path] for path in paths] if isinstance(found, dict) else [found]

    def sizes(self) -> dict[str, int]:
        """The objects right in this folder: bytes by name, sorted by name."""
        try:
            with self._asked(FileNotFoundError):
                found = self._fs.ls(self._root, detail=True)
        except FileNotFoundError:
            return {}
        sizes = {one["name"].rpartition("/")[2]: int(one["size"]) for one in found if one["type"] == "file"}
        return {name: sizes[name] for name in sorted(sizes) if name}

    def written(self, name: str) -> float:
        """When an object was written, in seconds by the store's own clock; 0 when there is none."""
        try:
            with self._asked(FileNotFoundError):
                when: datetime = self._fs.modified(self._path(name))
        except FileNotFoundError:
            return 0.0
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, those that are there."""
        for name in names:
            try:
                with self._asked(FileNotFoundError):
                    self._fs.rm_file(self._path(name))
            except FileNotFoundError:
                continue

    def upload(self, path: Path, name: str) -> None:
        """Make an object of a file, or replace it, whole."""
        with self._asked():
            self._fs.put_file(str(path), self._path(name))

    def download(self, name: str, path: Path) -> bool:
        """Copy an object into a file; False when there is none."""
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
        """Clients raise what they like: it becomes a StorageError, but for what is an answer.

        A bucket that is not there is none: it reads like an object that is not there.
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
