"""Stores to test with: a real S3-compatible server on this machine, which can be stopped and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import fsspec
from waiting import free_port, until

BUCKET = "sweeps"
SECRET = "not-to-be-printed"


class Server:
    """An S3-compatible server on 127.0.0.1, which keeps all in its memory."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        until(lambda: self._process.poll() is not None or self._listens(), 60)
        assert self._process.poll() is None, log.read_text()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


RELAY = (
    "import asyncio, sys\n"
    "async def pump(reader, writer):\n"
    "    try:\n"
    "        while data := await reader.read(65536):\n"
    "            writer.write(data)\n"
    "            await writer.drain()\n"
    "    except OSError:\n"
    "        pass\n"
    "    finally:\n"
    "        writer.close()\n"
    "async def serve(reader, writer):\n"
    "    try:\n"
    "        theirs = await asyncio.open_connection('127.0.0.1', int(sys.argv[2]))\n"
    "    except OSError:\n"
    "        return writer.close()\n"
    "    await asyncio.gather(pump(reader, theirs[1]), pump(theirs[0], writer))\n"
    "async def main():\n"
    "    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]))\n"
    "    print('up', flush=True)\n"
    "    await server.serve_forever()\n"
    "asyncio.run(main())\n"
)
"""A program that passes on what comes to one port to another, and back."""


class Gate:
    """A way to a server, at a port of its own: closed, it refuses connections and breaks those that are open."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._process: subprocess.Popen[str] | None = None
        self.open()

    def open(self) -> None:
        command = [sys.executable, "-c", RELAY, str(self.port), str(self._to)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "up\n"

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def s3_server(log: Path) -> Iterator[Gate]:
    """A server with an empty bucket, which this process and those that it starts find in their environment.

    What is given is the gate on the way to it.
    """
    server = Server(log)
    gate = Gate(server.port)
    try:
        with mock.patch.dict(os.environ, environment(gate.port)):
            fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
            yield gate
    finally:
        gate.close()
        server.stop()


def environment(port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
