"""The entry points of docker/, run as an image would run them: each a process of its own, with its own environment."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from processes import family
from waiting import free_port

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
ENTRYPOINTS = DOCKER / "entrypoints"
BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: float(path.parent.name))
"""Of the newest PostgreSQL that is installed as Debian does it."""

needs_postgres = pytest.mark.skipif(BINARIES is None, reason="PostgreSQL is not installed")


def environment(**variables: object) -> dict[str, str]:
    """What a container would get: nothing of this process but where programs and packages are."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "FLYP_SWEEP_CACHE") if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), str(ENTRYPOINTS), os.environ["PATH"]])
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in variables.items()}}


@dataclass
class Service:
    """A running entry point; its output is in `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, done: Callable[[], bool], seconds: float = 60) -> None:
        """Return once `done`; fails when the service ends before, or it takes too long."""
        deadline = time.monotonic() + seconds
        while not done():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)

    def wait(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def stop(self, seconds: float = 40, with_signal: int = signal.SIGTERM) -> list[psutil.Process]:
        """Send a signal, as an engine does, to the entry point alone; returns what it has left behind."""
        begun = family(self.process.pid)
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        self.process.wait(seconds)
        return psutil.wait_procs(begun, timeout=10)[1]

    def kill(self) -> None:
        """All at once, as when the machine is gone."""
        for process in family(self.process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def runs(self, word: str) -> bool:
        """Whether `word` is in the command line of one of its processes."""
        found = []
        for process in family(self.process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += process.cmdline()
        return any(word in one for one in found)


def launch(command: Sequence[str | Path], log: Path, variables: Mapping[str, str], cwd: Path | None = None) -> Service:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd or log.parent, env=dict(variables), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    return Service(process, log)


@contextlib.contextmanager
def running(service: Service) -> Iterator[Service]:
    """Whatever happens in the block, the service and all below it are gone afterwards."""
    try:
        yield service
    finally:
        service.kill()


def entry(name: str, folder: Path, *arguments: object, log: str | None = None, **variables: object) -> Service:
    """Start an entry point in `folder`."""
    command: list[str | Path] = [ENTRYPOINTS / f"{name}.sh", *map(str, arguments)]
    return launch(command, folder / f"{log or name}.log", environment(**variables))


def outcome(name: str, folder: Path, *arguments: object, **variables: object) -> tuple[int, str]:
    """Exit code and output of an entry point that ends by itself."""
    service = entry(name, folder, *arguments, log=f"ended-{secrets.token_hex(4)}", **variables)
    with running(service):
        return service.wait(), service.output


@dataclass
class Database:
    """A PostgreSQL server for one test, with a user and an empty database `mlflow`."""

    port: int
    password: str = field(repr=False)

    @property
    def variables(self) -> dict[str, object]:
        """What mlflow.sh wants to know of it."""
        return {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": self.port, "POSTGRES_PASSWORD": self.password}

    def rows(self, query: str) -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(self._uri("mlflow"), password=self.password) as connection:
            return connection.execute(query.encode()).fetchall()

    def _uri(self, database: str) -> str:
        return f"postgresql://mlflow@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def postgres(log: Path, port: int | None = None, password: str | None = None) -> Iterator[Database]:
    """A PostgreSQL server that asks for a password. It refuses to be root's: it is nobody's then."""
    assert BINARIES is not None
    database = Database(port or free_port(), password or secrets.token_hex(16))
    root = os.geteuid() == 0
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if root else []
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        secret = folder / "password"
        secret.write_text(database.password)
        if root:
            for path in (folder, secret):
                shutil.chown(path, "nobody", "nogroup")
        prepare: list[str | Path] = [
            *as_nobody,
            BINARIES / "initdb",
            "--pgdata",
            folder / "data",
            "--username=mlflow",
            "--no-sync",
        ]
        prepare += ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C"]
        subprocess.run(prepare, check=True, capture_output=True, cwd="/")
        # The database is there before the server listens: who waits for the server may be faster than we are.
        alone: list[str | Path] = [*as_nobody, BINARIES / "postgres", "--single", "-D", folder / "data", "postgres"]
        subprocess.run(alone, check=True, capture_output=True, cwd="/", input=b"CREATE DATABASE mlflow\n")
        serve: list[str | Path] = [*as_nobody, BINARIES / "postgres", "-D", folder / "data", "-p", str(database.port)]
        serve += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        server = launch(serve, log, environment(), cwd=Path("/"))
        try:
            server.until(lambda: "ready to accept connections" in server.output)
            yield database
        finally:
            server.process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Ray:
    """A cluster whose nodes are addresses of the loopback interface; made one by one, as they share a folder."""

    folder: Path
    temporary: Path
    token: str = field(repr=False, default_factory=lambda: secrets.token_hex(32))
    port: int = field(default_factory=free_port)
    nodes: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.2:{self.port}"

    @property
    def variables(self) -> dict[str, object]:
        """What every node and driver is told."""
        told = {"RAY_AUTH_TOKEN": self.token, "RAY_HEAD_ADDRESS": self.address, "RAY_TMPDIR": self.temporary}
        return {**told, "WAIT_SECONDS": 60}

    def head(self, **variables: object) -> Service:
        return self._node("ray-head", RAY_HEAD_PORT=self.port, **variables)

    def worker(self, **variables: object) -> Service:
        return self._node("ray-worker", **{"RAY_NODE_CPUS": 1, **variables})

    def _node(self, name: str, **variables: object) -> Service:
        self.nodes += 1
        own = {"RAY_NODE_IP": f"127.0.0.{self.nodes + 1}"}
        service = entry(name, self.folder, log=f"{name}-{self.nodes}", **{**self.variables, **own, **variables})
        service.until(lambda: "runtime started" in service.output)
        return service


@contextlib.contextmanager
def ray_cluster(folder: Path) -> Iterator[Ray]:
    """A cluster with no node yet. Its files lie where names are short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as short:
        yield Ray(folder, Path(short))
