"""Head, workers and driver each on a machine of its own, as compose.yaml has them: all are told of is the head."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import pytest
from commands import numbers
from finished import Finished
from machines import needs_machines, network
from services import running


@pytest.mark.chaos
@needs_machines
def test_machines_that_start_at_once_find_their_head_and_run_a_sweep(tmp_path: Path, small: Finished) -> None:
    told = {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_HEAD_ADDRESS": "10.99.0.2:6379", "RAY_CPUS_WANTED": 2}
    with network() as net, contextlib.ExitStack() as stack:
        head = stack.enter_context(running(net.entry("ray-head", tmp_path, **told)))
        workers = [
            stack.enter_context(running(net.entry("ray-worker", tmp_path, RAY_NODE_CPUS=1, **told))) for _ in range(2)
        ]
        sweep = stack.enter_context(running(net.entry("sweep", tmp_path, small.space, **told)))
        assert sweep.wait(300) == 0, sweep.output
        assert not any(worker.stop() for worker in workers)
        assert not head.stop()
    assert numbers(tmp_path / "runs" / "small") == numbers(small.run)
