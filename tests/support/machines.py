"""Machines as containers are to each other: an address, /dev/shm and a folder for temporary files of their own.

Made of Linux namespaces, which wants root and `ip`; a network of their own too, so that the host's is left alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from services import ENTRYPOINTS, Service, environment, launch

TEMPORARY = Path(f"/tmp/fm-{os.getpid()}")
"""The folder that is another one on every machine, and short, for Ray puts sockets into it."""

needs_machines = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None
    or subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode != 0,
    reason="namespaces cannot be made here",
)  # fmt: skip


@dataclass
class Network:
    """Machines 1, 2, ... with the addresses 10.99.0.2, 10.99.0.3, ..."""

    name: str
    machines: int = 0

    def entry(self, name: str, folder: Path, *arguments: object, **variables: object) -> Service:
        """Start an entry point on a machine of its own."""
        self.machines += 1
        machine = f"{self.name}-{self.machines}"
        address = f"10.99.0.{self.machines + 1}"
        for words in (
            f"netns add {machine}",
            f"-n {self.name} link add port{self.machines} type veth peer name eth0 netns {machine}",
            f"-n {self.name} link set port{self.machines} master switch up",
            f"-n {machine} addr add {address}/24 dev eth0",
            f"-n {machine} link set eth0 up",
            f"-n {machine} link set lo up",
            f"-n {machine} route add default via 10.99.0.1",  # never used, but how Ray finds the machine's address
        ):
            ip(words)
        own = f'mount -t tmpfs own /dev/shm && mount -t tmpfs own {TEMPORARY} && exec "$@"'
        command: list[str | Path] = ["ip", "netns", "exec", machine, "unshare", "--mount", "bash", "-c", own, "-"]
        command += [ENTRYPOINTS / f"{name}.sh", *map(str, arguments)]
        told = environment(RAY_TMPDIR=TEMPORARY, **variables)
        return launch(command, folder / f"{name}-{self.machines}.log", told)


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network without machines; they are gone with it."""
    net = Network(f"fs{secrets.token_hex(3)}")
    TEMPORARY.mkdir(exist_ok=True)
    ip(f"netns add {net.name}")
    try:
        ip(f"-n {net.name} link add switch type bridge")
        ip(f"-n {net.name} addr add 10.99.0.1/24 dev switch")
        ip(f"-n {net.name} link set switch up")
        yield net
    finally:
        for name in [net.name, *(f"{net.name}-{at + 1}" for at in range(net.machines))]:
            subprocess.run(["ip", "netns", "del", name], check=False)
        with contextlib.suppress(OSError):
            TEMPORARY.rmdir()
