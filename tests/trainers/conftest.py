"""The bench that trials are tested on, and random CLIPs of any make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import open_clip
import pytest
import torch

for kind in ("method", "ensemble", "reader"):  # before a test imports it
    pytest.register_assert_rewrite(f"flyp_sweep.trainers.testing.{kind}_contract")

from gradients import worker_of  # noqa: E402

from flyp_sweep.trainers.methods import lp  # noqa: E402
from flyp_sweep.trainers.models.pretrained import Pretrained  # noqa: E402
from flyp_sweep.trainers.shared import Shared  # noqa: E402
from flyp_sweep.trainers.testing.bench import Bench, shipped  # noqa: E402


def random_clip(kind: type = open_clip.CLIP, image: Any = 16, vision: Any = None, **text: Any) -> Any:
    """A CLIP of a few thousand parameters (besides the vocabulary) with random weights, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        clip = kind(
            embed_dim=12,
            vision_cfg={
                "image_size": image,
                "patch_size": 8,
                "width": 16,
                "head_width": 8,
                "layers": 1,
                **(vision or {}),
            },
            text_cfg={"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2, **text},
        )
        for parameter in clip.parameters():
            if parameter.ndim and parameter.shape[0] < 1000:  # livelier than initial weights, so that attention matters
                parameter.data.add_(0.3 * torch.randn_like(parameter))
    return clip.double().eval()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pretrained() -> Pretrained:
    """The shipped CLIP, shared by all tests: none may change it."""
    return shipped()


@pytest.fixture
def bench(pretrained: Pretrained) -> Bench:
    return Bench(pretrained)


@pytest.fixture(scope="session")
def make_clip() -> Any:
    return random_clip


@pytest.fixture
def worker(bench: Bench) -> Shared:
    """A worker with a random CLIP in double precision."""
    return worker_of(bench, random_clip())


@pytest.fixture(autouse=True)
def _few_probes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """LP-FT solves three quick probes in place of all `STRENGTHS`, but where probes themselves are tested."""
    if "test_linear_probing" not in request.node.nodeid:
        monkeypatch.setattr(lp, "STRENGTHS", (1e-1, 1e-2, 1e-3))
