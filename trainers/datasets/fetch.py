"""Downloads for `flyp-sweep data prepare`: each data set implements its own `Dataset.fetch`."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.base import Dataset

Say = Callable[[str], None]


def fetch(dataset: Dataset, say: Say = lambda line: None) -> None:
    """Download the missing files of `dataset` to where it looks for them; `say` prints progress.

    Complete files of earlier downloads stay, if the downloading library supports it. Raises InputError, with the cause
    and the files' source, if a download fails, or if the data set has none.
    """
    missing = dataset.missing()
    if not missing:
        return
    origin = f"{missing[0].path} comes from {missing[0].source}"
    try:
        can = dataset.fetch(say)
    except InputError:
        raise
    except Exception as error:  # the network, archives and an absent package raise many types
        raise InputError(f"data set {dataset.name!r}: the download failed ({cause(error)}); {origin}") from error
    if not can:
        raise InputError(f"data set {dataset.name!r} cannot be downloaded with this command; {origin}")


def cause(error: BaseException) -> str:
    """The cause of a failed download, and what to do about it, in one line."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"no room on the disk{f' of {one.filename}' if one.filename else ''}; free some and start again"
    for one in chain:
        if isinstance(one, HTTPError):
            return f"{one.code} {one.reason} for {one.url}"
        if isinstance(one, (URLError, ConnectionError, TimeoutError)):
            reason = " ".join(str(getattr(one, "reason", one)).split())
            return f"no connection: {reason or type(one).__name__}; start again when there is one"
    return " ".join(str(error).split()) or type(error).__name__


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error, and its causes."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def by_torchvision(name: str, root: Path, *calls: dict[str, str]) -> None:
    """Let torchvision's class `name` download into `root`, calling it once for each of the arguments in `calls`.

    torchvision compares the publisher's checksums, and keeps complete archives.
    """
    from torchvision import datasets

    root.mkdir(parents=True, exist_ok=True)
    for arguments in calls or ({},):
        getattr(datasets, name)(root, download=True, **arguments)
