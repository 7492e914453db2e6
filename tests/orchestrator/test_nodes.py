"""What is said of a cluster that cannot be joined, and what a node says that lacks something, without a cluster."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from nodes import ROOT
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.nodes import check_address, look, outlines_of
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import SearchSpace


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


@dataclass(frozen=True)
class Needs:
    """What a sweep needs of a node."""

    space: SearchSpace
    plans: list[CellPlan]
    outlines: dict[str, str]
    probe: Path

    @property
    def weights(self) -> Path:
        return Path(str(self.space.models[0].pretrained))

    def looked_for(self) -> dict[str, str | None]:
        return look(self.space, self.plans, self.outlines, Path("absent"), self.probe)


@pytest.fixture
def needs(tmp_path: Path) -> Needs:
    """What a sweep needs whose weights and run folder lie in `tmp_path`, where a node has all of it."""
    weights = shutil.copy(ROOT / "trainers/models/digits_clip/digits-clip.safetensors", tmp_path)
    space = space_of(methods=["zeroshot"], model={"arch": "digits-clip", "pretrained": str(weights)})
    (tmp_path / "probe").touch()
    return Needs(space, plans_of(space), outlines_of(space, Path("absent")), tmp_path / "probe")


def test_a_node_that_has_all_tells_its_versions(needs: Needs) -> None:
    assert needs.looked_for()["torch"]


@pytest.mark.parametrize(
    ("lack", "complaint"),
    [
        (
            lambda needs: needs.probe.unlink(),
            "as the driver has it; expected it on storage that all nodes share",
        ),
        (lambda needs: needs.weights.unlink(), "model.pretrained: found no file"),
        (
            lambda needs: needs.weights.write_bytes(needs.weights.read_bytes()[:-1] + b"x"),
            "found other weights of model",
        ),
    ],
    ids=["run folder", "weights", "other weights"],
)
def test_a_node_names_what_it_lacks(needs: Needs, lack: Callable[[Needs], object], complaint: str) -> None:
    lack(needs)
    with pytest.raises(InputError, match=re.escape(complaint)):
        needs.looked_for()


def test_a_node_with_other_data_says_so(needs: Needs) -> None:
    with pytest.raises(InputError, match="found other files of data set 'digits' in absent than the driver"):
        replace(needs, outlines={"digits": "other"}).looked_for()
