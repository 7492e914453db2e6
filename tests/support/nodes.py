"""Ray clusters of real processes, each node its own `ray start`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from processes import family, wait_until_gone
from waiting import free_port

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever happens in the block, the process and its children are gone afterwards."""
    try:
        yield
    finally:
        everything = family(process.pid)
        for each in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        wait_until_gone(everything)


@contextlib.contextmanager
def node(elsewhere: Path, *options: str, apart: Path | None = None, **variables: str) -> Iterator[None]:
    """A node of a Ray cluster with one CPU, killed with all its workers at the end of the block.

    What it sees in the folder `apart` is its own.
    """
    alone = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{apart}" && exec "$@"', "sh"] if apart else []
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1", "--disable-usage-stats"]
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), **variables}
    process = subprocess.Popen(
        [*alone, *ray, "--node-ip-address", "127.0.0.1", *options], cwd=elsewhere, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with ended(process):
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if "runtime started" in line:
                break
        else:  # under load Ray may give up, and a sweep would then go on without this node
            raise AssertionError("".join(told))
        yield


@contextlib.contextmanager
def head(elsewhere: Path, **variables: str) -> Iterator[str]:
    """The address of a new cluster of one node. Its files lie where names are short enough for Ray's sockets."""
    port = str(free_port())
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as short:
        options = ("--head", "--port", port, "--include-dashboard=false", "--temp-dir", short)
        with node(elsewhere, *options, **variables):
            yield f"127.0.0.1:{port}"
