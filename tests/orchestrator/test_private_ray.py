"""A private Ray: what it starts, and what the environments of others are to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from waiting import until

DRIVER = """
import os, sys
from orchestrator import cluster

cluster.quiet_environment(local=True)
cluster.connect(None, None)

import ray

@ray.remote
def variable():
    return os.environ.get("OF_A_JOB")

print(ray.get(variable.remote()), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a private Ray, although Ray is told to give workers an environment of their own."""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": {"env_vars": {"OF_A_JOB": "1"}}}))
    monkeypatch.setenv("RAY_RUNTIME_ENV_HOOK", "no_such_module.hook")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", DRIVER], text=True, cwd=tmp_path, **pipes)
    yield process
    process.kill()
    process.communicate()


def test_a_private_ray_takes_no_environment_of_others_and_starts_nothing_that_costs_memory_but_workers(
    driver: subprocess.Popen[str],
) -> None:
    assert driver.stdout is not None
    assert driver.stdout.readline() == "None\n"
    started = {process: process.cmdline() for process in psutil.Process(driver.pid).children(recursive=True)}
    servers = {Path(told[0]).name: process for process, told in started.items() if told[0].startswith("/")}
    agents = [process for process, told in started.items() if any(word.endswith("idle_agent.py") for word in told)]
    workers = [process for process, told in started.items() if told[0].startswith("ray::")]
    assert len(agents) == 2
    assert len(started) == len(workers) + len(agents) + len({"raylet", "gcs_server"} & servers.keys())
    assert max(process.memory_info().rss for process in agents) < 20 * 2**20
    servers["raylet"].kill()
    until(lambda: not any(process.is_running() for process in agents), seconds=30)
