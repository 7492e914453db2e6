"""Sweeps on a Ray cluster: code reaches its nodes, a node may die, and what one lacks is said before the start."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import QUICK, numbers, start
from nodes import ended, head, node
from serial_engine import run_serially

from flyp_sweep.orchestrator.engine.nodes import check_address
from flyp_sweep.search_spaces.errors import InputError

pytestmark = pytest.mark.slow

MINE = """
import os
import signal
import time
from pathlib import Path

import psutil

from flyp_sweep.trainers.methods.lp import LinearProbing


class Mine(LinearProbing):
    name = "mine"
    summary = "linear probing that ends the second node of a cluster amid a trial, for which other trials wait"

    def solve(self, task):
        if "NODE_ENDED" in os.environ:
            ended = Path(os.environ["NODE_ENDED"])
            if "EXPENDABLE" in os.environ:
                ended.touch()
                next(one for one in psutil.Process().parents() if one.name() == "raylet").kill()
                time.sleep(1000)
            while not ended.exists():
                time.sleep(0.1)
        return super().solve(task)
"""


@pytest.fixture(scope="module")
def node_ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is there once the second node has ended."""
    return tmp_path_factory.mktemp("meeting") / "ended"


@pytest.fixture(scope="module")
def address(node_ended: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of one node, started in a folder of its own."""
    with head(tmp_path_factory.mktemp("head"), NODE_ENDED=str(node_ended)) as found:
        yield found


def sweep(folder: Path, *options: object, path: Path | None = None) -> tuple[int, str]:
    """Exit code and output of a sweep in `folder`."""
    driver = start("run", "quick.yaml", *options, cwd=folder, path=path)
    with ended(driver):
        output, _ = driver.communicate(timeout=300)
    return driver.returncode, output


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a search space, in which sweeps run."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "quick.yaml").write_text(QUICK)
    return folder


def test_code_that_only_the_driver_has_reaches_the_nodes_and_one_that_dies_costs_no_trial_and_no_number(
    address: str, node_ended: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug, elsewhere = tmp_path / "plug", tmp_path / "elsewhere"
    for folder in (plug, elsewhere):
        folder.mkdir()
    (plug / "mine_alone.py").write_text(MINE)
    methods = "methods=['mine_alone:Mine', lp]"
    with node(elsewhere, "--address", address, NODE_ENDED=str(node_ended), EXPENDABLE="1"):
        code, output = sweep(here, "--set", methods, "--address", address, path=plug)
    assert code == 0, output
    assert "again in" in output, "the second node had a trial"
    assert not any(line.startswith("node ") for line in output.splitlines()), "both nodes have all"
    assert not list(elsewhere.iterdir()), "workers know where the run folder is"
    assert not list((here / "runs" / "quick").glob(".probe*"))
    monkeypatch.syspath_prepend(plug)
    code, output = run_serially("quick.yaml", methods, cwd=here, out=Path("local"))
    assert code == 0, output
    assert numbers(here / "runs" / "quick") == numbers(here / "local")


def may_mount(folder: Path) -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", folder]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True).returncode == 0
    return False


def test_a_node_that_lacks_the_run_folder_is_named_before_the_start(address: str, here: Path, tmp_path: Path) -> None:
    (here / "runs").mkdir()
    if not may_mount(here):
        pytest.skip("a node with other files needs the right to mount them")
    with node(tmp_path, "--address", address, apart=here / "runs"):
        code, output = sweep(here, "--address", address)
    assert code == 2, output
    complaints = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(complaints) == 1
    assert complaints[0].startswith("error: node ")
    assert "as the driver has it; expected it on storage that all nodes share (--out)" in complaints[0]
    assert not (here / "runs" / "mlflow.db").exists(), "nothing has started"


def test_a_token_that_the_cluster_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with head(tmp_path, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="t" * 32) as address:
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        expected = f"the cluster at '{address}' refuses the token; set RAY_AUTH_MODE=token and"
        with pytest.raises(InputError, match=expected):
            check_address(address)


def test_a_trial_has_to_fit_on_one_node(address: str, here: Path, tmp_path: Path) -> None:
    with node(tmp_path, "--address", address):
        code, output = sweep(here, "--address", address, "--set", "resources={cpu: 2}")
    assert code == 2
    assert "resources: found cpu 2, gpu 0 per trial; expected what one node has: 1 CPUs and 0 GPUs" in output
