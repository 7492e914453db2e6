"""Downloads, asked for by `flyp-sweep data prepare` alone: each data set has its own way, `Dataset.fetch`."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.base import Dataset

Say = Callable[[str], None]


def fetch(dataset: Dataset, say: Say = lambda line: None) -> None:
    """Download what is missing of `dataset` to where it looks for it; `say` is told what is under way, in lines.

    What an earlier download has left whole stays, if the library that fetches can take it up. Raises InputError, with
    the cause and where the files come from, when a download fails and for a data set that has none.
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
    """Why a download failed, and what to do about it, in a line."""
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
    """An error, and those that it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def by_torchvision(name: str, root: Path, *calls: dict[str, str]) -> None:
    """Have torchvision's class `name` download into `root`, made once with each of the arguments `calls`.

    torchvision compares the publisher's checksums, and keeps a whole archive that is there.
    """
    from torchvision import datasets

    root.mkdir(parents=True, exist_ok=True)
    for arguments in calls or ({},):
        getattr(datasets, name)(root, download=True, **arguments)
