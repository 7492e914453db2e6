"""Ray clusters of real processes, each node its own `ray start`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
from processes import family, wait_until_gone

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
    ray = [
        *alone,
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--block",
        "--num-cpus",
        "1",
        "--disable-usage-stats",
    ]
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT), **variables}
    process = subprocess.Popen(
        [*ray, "--node-ip-address", "127.0.0.1", *options], cwd=elsewhere, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with ended(process):
        assert process.stdout is not None
        for line in process.stdout:
            if "runtime started" in line:
                break
        yield
