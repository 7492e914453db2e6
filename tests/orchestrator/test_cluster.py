"""Sweeps on a Ray cluster: the code reaches its nodes, and what a node lacks is said before anything starts."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import QUICK, numbers, start
from nodes import ROOT, ended, node
from waiting import free_port

from flyp_sweep.orchestrator.engine.nodes import check_address
from flyp_sweep.search_spaces.errors import InputError

pytestmark = pytest.mark.slow

MINE = """
from flyp_sweep.trainers.methods.zeroshot import ZeroShot

class Mine(ZeroShot):
    name = "mine"
    summary = "zero-shot by another name"
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of one node, started in a folder of its own."""
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as short:
        options = ("--head", "--port", address.split(":")[1], "--include-dashboard=false", "--temp-dir", short)
        with node(tmp_path_factory.mktemp("head"), *options):
            yield address


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


def test_code_that_only_the_driver_has_reaches_the_workers_and_the_numbers_are_those_of_one_machine(
    head: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug").mkdir()
    (tmp_path / "plug" / "mine_alone.py").write_text(MINE)
    methods = ("--set", "methods=[lp, 'mine_alone:Mine']")
    with node(tmp_path, "--address", head):
        code, output = sweep(here, *methods, "--address", head, path=tmp_path / "plug")
    assert code == 0, output
    assert "node " not in output, "nothing to say about nodes that have all"
    assert not list((here / "runs" / "quick").glob(".probe*"))
    monkeypatch.setenv("RAY_ADDRESS", head)  # as in Ray's own jobs; this machine is what is meant without --address
    code, output = sweep(here, *methods, "--out", "local", path=tmp_path / "plug")
    assert code == 0, output
    assert numbers(here / "runs" / "quick") == numbers(here / "local")


def may_mount(folder: Path) -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", folder]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True).returncode == 0
    return False


@pytest.mark.parametrize(
    ("lacking", "complaint"),
    [
        ("runs", "as the driver has it; expected it on storage that all nodes share (--out)"),
        ("weights", "model.pretrained: found no file"),
    ],
)
def test_a_node_that_lacks_something_is_named_before_the_start(
    head: str, here: Path, tmp_path: Path, lacking: str, complaint: str
) -> None:
    (here / "weights").mkdir()
    (here / "runs").mkdir()
    weights = here / "weights" / "digits.safetensors"
    weights.write_bytes((ROOT / "trainers/models/digits_clip/digits-clip.safetensors").read_bytes())
    if not may_mount(here):
        pytest.skip("a node with other files needs the right to mount them")
    with node(tmp_path, "--address", head, apart=here / lacking):
        model = f"model={{arch: digits-clip, pretrained: {weights}}}"
        code, output = sweep(here, "--address", head, "--set", model)
    assert code == 2, output
    complaints = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(complaints) == 1
    assert complaints[0].startswith("error: node ")
    assert complaint in complaints[0]
    assert not (here / "runs" / "mlflow.db").exists(), "nothing has started"


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("ray://127.0.0.1:10001", "expected auto, or HOST:PORT of a cluster that this machine is a node of"),
        ("127.0.0.1:9", "found nobody at '127.0.0.1:9' (Connection refused); start a cluster with"),
        ("nowhere", "found 'nowhere'; expected auto or HOST:PORT"),
    ],
)
def test_where_no_cluster_can_be_joined_it_is_said_in_a_line(here: Path, address: str, complaint: str) -> None:
    code, output = sweep(here, "--address", address)
    assert code == 2
    assert complaint in output.splitlines()[-1]


def test_what_answers_but_is_no_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyp_sweep.orchestrator.engine.nodes.JOIN_SECONDS", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError, match=f"found something at '{address}' that does not answer as a Ray cluster"):
            check_address(address)


def test_a_driver_that_can_join_passes(head: str) -> None:
    check_address(head)


def test_a_token_that_the_cluster_refuses_is_said(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t" * 32}
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as short:
        options = ("--head", "--port", address.split(":")[1], "--include-dashboard=false", "--temp-dir", short)
        with node(tmp_path, *options, **token):
            monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
            code, output = sweep(here, "--address", address)
    assert code == 2
    assert f"the cluster at '{address}' refuses the token; set RAY_AUTH_MODE=token and" in output.splitlines()[-1]


def test_a_trial_has_to_fit_on_one_node(head: str, here: Path, tmp_path: Path) -> None:
    with node(tmp_path, "--address", head):
        code, output = sweep(here, "--address", head, "--set", "resources={cpu: 2}")
    assert code == 2
    assert "resources: found cpu 2, gpu 0 per trial; expected what one node has: 1 CPUs and 0 GPUs" in output
