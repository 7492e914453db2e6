"""Runs a function in several processes that train together, and brings back what each returned."""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from flyp_sweep.trainers.distributed import Ranks

PATIENCE_SECONDS = 120.0


def in_ranks(world: int, run: Callable[[Ranks], Any]) -> list[Any]:
    """`run(ranks)` in `world` forks of this process, by rank; an exception is returned like a result."""
    with tempfile.TemporaryDirectory() as folder:
        pipes = [_forked(rank, world, Path(folder, "meeting"), run) for rank in range(world)]
        try:
            found = [_told(pipe) for pipe, _ in pipes]
        finally:
            for pipe, pid in pipes:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                pipe.close()
    return found


def _forked(rank: int, world: int, meeting: Path, run: Callable[[Ranks], Any]) -> tuple[Connection, int]:
    ours, theirs = Pipe()
    pid = os.fork()
    if pid:
        theirs.close()
        return ours, pid
    try:
        ours.close()
        found: Any
        try:
            found = run(Ranks.join(rank, world, torch.device("cpu"), meeting))
        except Exception as error:
            traceback.print_exc()
            found = error
        theirs.send_bytes(pickle.dumps(found))  # `send` would share tensors through files that a killed process leaves
        signal.pause()  # one that leaves early would end the others' collectives
    finally:
        os._exit(0)


def _told(pipe: Connection) -> Any:
    return pickle.loads(pipe.recv_bytes()) if pipe.poll(PATIENCE_SECONDS) else TimeoutError()
