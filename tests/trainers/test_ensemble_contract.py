"""Every built-in ensemble keeps the contract of ensembles, and the contract notices what it is there for."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from flyp_sweep.trainers import ensembles
from flyp_sweep.trainers.ensembles import Ensemble, Members
from flyp_sweep.trainers.ensembles.logit_ensemble import LogitEnsemble
from flyp_sweep.trainers.ensembles.uniform_soup import UniformSoup
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.testing.bench import Bench
from flyp_sweep.trainers.testing.ensemble_contract import EnsembleContract, Made
from flyp_sweep.trainers.training.fitted import Fitted

pytestmark = pytest.mark.slow

CONTRACT = EnsembleContract()


class TestBuiltIn(EnsembleContract):
    """A new ensemble is held to it by being in the registry."""

    @pytest.fixture(params=ensembles.registry())
    def ensemble(self, request: pytest.FixtureRequest) -> Ensemble:
        return ensembles.get(request.param)


class Noisy(UniformSoup):
    """Draws from torch's global generator."""

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        fitted = yield from super().combine(members)
        noisy = {name: one + 1e-3 * torch.randn_like(one) for name, one in fitted.state.items()}
        return members.fitted(noisy)


class Backwards(UniformSoup):
    """Asks for its worst member first."""

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        for member in reversed(members.specs):
            yield from members.weights(member)
        return (yield from super().combine(members))


class Boasting(UniformSoup):
    """Gives weights that do not score what it reports."""

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        fitted = yield from super().combine(members)
        state = dict(members.method.zero_shot(members.task).state_dict())
        return Fitted(state, fitted.scores, fitted.report, state)


class Peeking(UniformSoup):
    """Looks at the ID test set."""

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        next(members.task.reported())
        return (yield from super().combine(members))


class Transductive(LogitEnsemble):
    """Takes statistics of the images that are evaluated together."""

    def mixed(self, zero_shot: torch.Tensor, finetuned: torch.Tensor, alpha: float) -> torch.Tensor:
        return super().mixed(zero_shot - zero_shot.mean(dim=0), finetuned, alpha)


BROKEN = {
    Noisy: "test_a_trial_is_the_same_in_any_worker_whatever_global_streams_hold",
    Backwards: "test_it_asks_for_members_in_their_order_once_each_and_reports",
    Boasting: "test_its_model_is_one_of_its_method_and_scores_what_it_reports",
    Peeking: "test_test_labels_change_no_choice_and_no_weight_and_are_opened_last",
    Transductive: "test_a_mixture_of_an_image_depends_on_no_other_image",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.__name__)
def test_an_ensemble_that_breaks_it_fails_the_test_of_a_promise_that_the_sound_one_keeps(
    bench: Bench, broken: Any
) -> None:
    promise, (sound,) = getattr(CONTRACT, BROKEN[broken]), broken.__bases__
    promise(Made(sound(), bench))
    with pytest.raises(AssertionError):
        promise(Made(broken(), bench))


def test_a_mixture_has_no_model_of_its_own_to_keep(bench: Bench, tmp_path: Path) -> None:
    made = Made(LogitEnsemble(), bench)
    kept = made.keeping(tmp_path)
    made.run(kept=kept)
    assert [path.stem for path in tmp_path.iterdir()] == [made.spec.members[0].trial_id]
