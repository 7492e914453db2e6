"""What is said of a cluster that cannot be joined, and what a node says that lacks something, without a cluster."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from nodes import ROOT
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.nodes import Needs, check_address, look
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
def needs(tmp_path: Path) -> Needs:
    """What a sweep needs whose weights and run folder lie in `tmp_path`, where a node has all of it."""
    weights = shutil.copy(ROOT / "trainers/models/digits_clip/digits-clip.safetensors", tmp_path)
    space = space_of(methods=["zeroshot"], model={"arch": "digits-clip", "pretrained": str(weights)})
    (plan,) = plans_of(space)
    (tmp_path / "probe").touch()
    given = ({plan.cell.dataset: plan.data}, {plan.cell.model: plan.weights})
    return Needs(space, Path("absent"), *given, probe=tmp_path / "probe", store=None)


def test_a_node_that_has_all_has_nothing_to_say(needs: Needs) -> None:
    assert look(needs).trouble is None


@pytest.mark.parametrize(
    ("lack", "complaint"),
    [
        (
            lambda needs: needs.probe.unlink(),
            "as the driver has it; expected it on storage that all nodes share (--out)",
        ),
        (lambda needs: weights_of(needs).unlink(), "model.pretrained: found no file"),
        (
            lambda needs: weights_of(needs).write_bytes(weights_of(needs).read_bytes()[:-1] + b"x"),
            "found other weights of model",
        ),
    ],
    ids=["run folder", "weights", "other weights"],
)
def test_a_node_names_what_it_lacks(needs: Needs, lack: Callable[[Needs], object], complaint: str) -> None:
    lack(needs)
    assert complaint in str(look(needs).trouble)


def test_a_node_with_other_data_says_so(needs: Needs) -> None:
    told = look(replace(needs, data={"digits": "other"})).trouble
    assert told == "found other files of data set 'digits' in absent than the driver"


def weights_of(needs: Needs) -> Path:
    return Path(str(needs.space.models[0].pretrained))
