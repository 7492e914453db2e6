"""Which configuration wins: each rule of the selection where this rule alone decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from sweeps import answer, drive, plans_of, space_of

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.protocol.selection import Selection
from flyp_sweep.trainers.spec import SEARCH, TrialSpec

SEARCHED = {"lr": {"choice": [1e-4, 1e-3, 1e-2]}, "weight_decay": 0.0}
BEST = 1e-2
"""`answer` rises with the learning rate."""


def selected(answered: Callable[[TrialSpec], Outcome], seeds: int = 1) -> Selection | None:
    """What is selected for FT in a grid of three learning rates, on so many seeds each."""
    space = space_of(methods=["ft"], search={"algorithm": "grid", "seeds": seeds, "space": SEARCHED})
    protocol = Protocol(plans_of(space))
    drive(protocol, answered)
    return next(iter(protocol.selections), None)


@pytest.mark.parametrize("seed", range(3))
def test_a_configuration_that_failed_on_one_of_its_seeds_is_out(seed):
    def fails(spec: TrialSpec) -> Outcome:
        if spec.stage == SEARCH and spec.hparams["lr"] == BEST and spec.seed == seed:
            return Outcome(spec.trial_id, "failed", None, None)
        return answer(spec)

    assert selected(fails, seeds=3).winner["lr"] == 1e-3


def test_a_search_whose_every_configuration_failed_on_a_seed_selects_none():
    def fails(spec: TrialSpec) -> Outcome:
        return Outcome(spec.trial_id, "failed", None, None) if spec.seed == 1 else answer(spec)

    assert selected(fails, seeds=2) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_configuration_of_which_a_trial_was_stopped_loses_to_a_worse_one_that_ran_to_its_end(seed):
    def stops(spec: TrialSpec) -> Outcome:
        cut = spec.stage == SEARCH and spec.hparams["lr"] != 1e-4 and spec.seed == seed
        return dataclasses.replace(answer(spec), status="stopped" if cut else "done")

    assert selected(stops, seeds=3).winner["lr"] == 1e-4


def test_where_all_were_stopped_the_best_wins():
    assert selected(lambda spec: dataclasses.replace(answer(spec), status="stopped")).winner["lr"] == BEST
