from __future__ import annotations

import pytest
from ray.tune.experiment import Trial
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.scheduler import CellScheduler

ASHA = {"name": "asha", "grace_epochs": 1, "reduction_factor": 2}


class Stops:
    """Stands where the recorder does, and keeps what it is told."""

    def __init__(self):
        self.told = []
        self.news = []

    def started(self, spec):
        self.news.append("started")

    def progressed(self, spec, epoch, node):
        self.news.append(epoch["epoch"])

    def stopped_by_scheduler(self, spec, result):
        self.told.append(spec["cell"]["method"])


def trial_of(spec):
    return Trial("stub", config={"spec": spec.to_json()}, stub=True)


def report(scheduler, trial, epoch, score):
    scheduler.on_trial_add(None, trial)
    return scheduler.on_trial_result(None, trial, {"epoch": epoch, "score": score, "time_total_s": 1.0})


@pytest.fixture
def sweep():
    space = space_of(methods=["ft", "flyp"], train={"epochs": 8}, scheduler=ASHA)
    stops = Stops()
    return CellScheduler(space, stops, at_once=1), plans_of(space), stops


def search(plan, lr):
    return trial_of(plan.search_trial({"lr": lr, "weight_decay": 0.0}, 0))


def test_asha_stops_the_weak_of_one_cell(sweep):
    scheduler, plans, stops = sweep
    assert report(scheduler, search(plans[0], 1e-3), 1, 0.9) == "CONTINUE"
    assert report(scheduler, search(plans[0], 2e-3), 1, 0.1) == "STOP"
    assert stops.told == ["ft"]


def test_asha_never_compares_two_cells(sweep):
    scheduler, plans, stops = sweep
    for lr in (1e-3, 2e-3, 3e-3):
        report(scheduler, search(plans[0], lr), 1, 0.9)
    assert report(scheduler, search(plans[1], 1e-3), 1, 0.1) == "CONTINUE"
    assert stops.told == []
    assert len(scheduler.brackets) == 2


def test_asha_never_touches_a_repeat(sweep):
    scheduler, plans, stops = sweep
    for lr in (1e-3, 2e-3, 3e-3):
        report(scheduler, search(plans[0], lr), 1, 0.9)
    repeat = trial_of(plans[0].repeat_trial({"lr": 1e-3, "weight_decay": 0.0}, 0))
    assert report(scheduler, repeat, 1, 0.0) == "CONTINUE"
    assert stops.told == []


def test_fifo_stops_nothing():
    space = space_of(methods=["ft"])
    scheduler = CellScheduler(space, Stops(), at_once=1)
    (plan,) = plans_of(space)
    assert [report(scheduler, search(plan, lr), 1, score) for lr, score in ((1e-3, 0.9), (2e-3, 0.0))] == [
        "CONTINUE"
    ] * 2


def test_the_last_epoch_is_no_stop(sweep):
    scheduler, plans, stops = sweep
    assert report(scheduler, search(plans[0], 1e-3), 8, 0.9) == "CONTINUE"
    assert report(scheduler, search(plans[0], 2e-3), 8, 0.1) == "CONTINUE"
    assert stops.told == []


def test_the_recorder_hears_of_each_start_and_each_epoch(sweep):
    scheduler, plans, stops = sweep
    trial = search(plans[0], 1e-3)
    scheduler.on_trial_add(None, trial)
    scheduler.choose_trial_to_run(None)
    assert stops.news == []
    trial.set_status(Trial.RUNNING)
    for _ in range(2):
        scheduler.choose_trial_to_run(None)
    assert stops.news == ["started"]
    for epoch in (1, 2):
        scheduler.on_trial_result(None, trial, {"epoch": epoch, "score": 0.9})
    scheduler.on_trial_result(None, trial, {"ending": "{}"})
    assert stops.news == ["started", 1, 2]
