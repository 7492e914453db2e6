"""Downloads that resume after an interruption; only `flyp-sweep data prepare` uses them.

Network errors are raised unchanged: `fetch` turns each into one line.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

Say = Callable[[str], None]

PART = ".part"
"""Suffix of an incomplete file."""
CHUNK = 2**20
SECONDS = 10.0
"""Seconds between two lines of progress."""
PATIENCE = 60.0
"""Seconds without data after which a connection counts as dead."""


def text_at(address: str) -> str | None:
    """The text at an address; None if the address does not exist."""
    try:
        with _ask(address) as answer:
            content: bytes = answer.read()
            return content.decode()
    except HTTPError as error:
        if error.code == http.client.NOT_FOUND:
            return None
        raise


def download(address: str, path: Path, say: Say) -> None:
    """Download the file at `address` to `path`, resuming the part that an earlier download left beside it.

    `say` prints progress. Raises OSError (HTTPError, URLError) of the network and the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    have = part.stat().st_size if part.exists() else 0
    try:
        answer = _ask(address, {"Range": f"bytes={have}-"} if have else {})
    except HTTPError as error:
        if not have or error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range", "") != f"bytes */{have}":  # equal: the file is complete
            part.unlink()
            answer = _ask(address)
            _receive(answer, part, 0, say)
    else:
        _receive(answer, part, have if answer.status == http.client.PARTIAL_CONTENT else 0, say)
    part.replace(path)
    say(f"{path}: {path.stat().st_size / 1e6:,.1f} MB")


def _receive(answer: http.client.HTTPResponse, part: Path, have: int, say: Say) -> None:
    """Append a server's answer to the `have` bytes of a file. Raises ConnectionError if the connection breaks."""
    length = answer.headers.get("Content-Length")
    whole = have + int(length) if length else None
    with answer, part.open("ab" if have else "wb") as file:
        told = time.monotonic()
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            have += len(chunk)
            if time.monotonic() - told > SECONDS:
                say(f"{part}: {have / 1e6:,.0f} of {whole / 1e6:,.0f} MB" if whole else f"{part}: {have / 1e6:,.0f} MB")
                told = time.monotonic()
    if whole is not None and have != whole:
        raise ConnectionError(f"{answer.url} ended after {have:,} of {whole:,} bytes")


def _ask(address: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    """The answer of a server. The hub's token goes only to the hub, not to redirection targets."""
    from huggingface_hub import get_token

    request = Request(address, headers=headers or {})  # noqa: S310 - the search space's model allows only http(s)
    if urlsplit(address).hostname == "huggingface.co" and (token := get_token()):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    answer: http.client.HTTPResponse = urlopen(request, timeout=PATIENCE)  # noqa: S310
    return answer
