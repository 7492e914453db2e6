"""What is said of a cluster that cannot be joined, and what a node says that lacks something, without a cluster."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from nodes import ROOT
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.nodes import DECISIVE, check_address, look, outlines_of
from flyp_sweep.search_spaces.errors import InputError


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("ray://127.0.0.1:10001", "expected auto, or HOST:PORT of a cluster that this machine is a node of"),
        ("127.0.0.1:9", "found nobody at '127.0.0.1:9' .Connection refused.; start a cluster with"),
        ("nowhere", "found 'nowhere'; expected auto or HOST:PORT"),
    ],
)
def test_where_no_cluster_can_be_joined_it_is_said(address: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_address(address)


def test_what_answers_but_is_no_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyp_sweep.orchestrator.engine.nodes.JOIN_SECONDS", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError, match=f"found something at '{address}' that does not answer as a Ray cluster"):
            check_address(address)


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Any]:
    """What a node is asked of a sweep whose weights and run folder lie in `tmp_path`: a node that has all of it."""
    weights = shutil.copy(ROOT / "trainers/models/digits_clip/digits-clip.safetensors", tmp_path)
    space = space_of(methods=["zeroshot"], model={"arch": "digits-clip", "pretrained": str(weights)})
    (tmp_path / "probe").touch()
    outlines = outlines_of(space, Path("absent"))
    given = {"space": space, "plans": plans_of(space), "outlines": outlines}
    return {**given, "data_root": Path("absent"), "place": tmp_path / "probe"}


def test_a_node_that_has_all_tells_its_versions(asked: dict[str, Any]) -> None:
    assert look(**asked) == {name: version(name) for name in DECISIVE}


@pytest.mark.parametrize(
    ("lack", "complaint"),
    [
        (lambda probe, weights: probe.unlink(), "as the driver has it; expected it on storage that all nodes share"),
        (lambda probe, weights: weights.unlink(), "model.pretrained: found no file"),
        (
            lambda probe, weights: weights.write_bytes(weights.read_bytes()[:-1] + b"x"),
            "found other weights of model",
        ),
    ],
    ids=["run folder", "weights", "other weights"],
)
def test_a_node_names_what_it_lacks(
    asked: dict[str, Any], lack: Callable[[Path, Path], object], complaint: str
) -> None:
    lack(asked["place"], Path(str(asked["space"].models[0].pretrained)))
    with pytest.raises(InputError, match=complaint):
        look(**asked)


def test_a_node_with_other_data_says_so(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="found other files of data set 'digits' in absent than the driver"):
        look(**{**asked, "outlines": {"digits": "other"}})
