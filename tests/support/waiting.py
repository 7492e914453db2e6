"""What tests wait for, and where servers may listen. Light: forked processes import it too."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Return once `condition` holds, which it has to within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, **headers: str) -> bool:
    """Whether the page at `url` is given out."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=2).close()
    except OSError:
        return False
    return True
