from __future__ import annotations

import dataclasses
import itertools
import random

import pytest
from ledgers import Example, typed
from sweeps import answer, drive, plans_of, space_of

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.results.ledger.schema import encode
from flyp_sweep.trainers.spec import TrialSpec


def ids(specs: list[TrialSpec]) -> set[str]:
    return {spec.trial_id for spec in specs}


def test_a_sweep_searches_selects_and_repeats_every_cell(plans):
    protocol = Protocol(plans)
    ran = drive(protocol)
    assert protocol.complete
    assert len(ids(ran)) == len(ran)
    by_method = {method: [spec for spec in ran if spec.cell.method == method] for method in ("zeroshot", "lp", "ft")}
    assert len(by_method["zeroshot"]) == 1
    assert len(by_method["ft"]) == 5 + 3
    assert len(by_method["lp"]) <= 5 + 1  # of its few strengths one may be asked twice, and is then run once
    assert [spec.stage for spec in by_method["ft"]] == ["search"] * 5 + ["repeat"] * 3
    assert [spec.seed for spec in by_method["ft"][5:]] == [0, 1, 2]


def test_the_winner_has_the_highest_score_and_is_what_is_repeated(plans):
    protocol = Protocol(plans)
    ran = drive(protocol)
    searched = [spec for spec in ran if spec.cell.method == "ft" and spec.stage == "search"]
    best = max(searched, key=lambda spec: spec.hparams["lr"])
    selection = next(one for one in protocol.selections if one.plan.cell.method == "ft")
    assert selection.winner == best.hparams
    assert {spec.config_id for spec in selection.repeats} == {best.config_id}
    assert selection.record.searched == [spec.trial_id for spec in searched]
    assert selection.record.space == {name: found.to_json() for name, found in selection.plan.searched.items()}


def test_a_selection_says_which_splits_are_not_as_published(plans):
    wrong = {"id_val": {"found": 399, "published": 400}}
    data = dataclasses.replace(plans[0].data, incomplete=wrong)
    complete, incomplete = Protocol(plans), Protocol([dataclasses.replace(plan, data=data) for plan in plans])
    assert drive(complete) == drive(incomplete)
    assert all(one.record.incomplete == wrong for one in incomplete.selections)
    assert not any(b"incomplete" in encode(one.record) for one in complete.selections)


@pytest.mark.parametrize("shots", [None, 4])
def test_a_deterministic_method_runs_once_unless_the_seed_draws_its_images(shots):
    searched = {"lr": {"loguniform": [1e-4, 1e-2]}, "weight_decay": {"choice": [0.0, 0.1]}}
    search = {"algorithm": "random", "num_samples": 2, "seeds": 2, "space": searched}
    methods = ["zeroshot", "lp", "tip_adapter", "ft"]
    of_images = {} if shots is None else {"shots": shots, "train": {"epochs": 20, "batch_size": 40}}
    for plan in plans_of(space_of(methods=methods, search=search, repeats={"seeds": 3}, **of_images)):
        method = plan.cell.method
        once = method == "zeroshot" or (shots is None and method != "ft")
        assert plan.is_deterministic == once, method
        assert (len(plan.search_seeds), len(plan.repeat_seeds)) == ((1, 1) if once else (2, 3))
    protocol = Protocol(plans_of(space_of(methods=["lp", "ft"])))
    drive(protocol)
    assert {one.plan.cell.method: one.record.deterministic for one in protocol.selections} == {"lp": True, "ft": False}
    assert {b"deterministic" in encode(one.record) for one in protocol.selections} == {True, False}


def test_ties_go_to_the_lower_loss_then_to_the_earlier(plans):
    losses = itertools.count()
    for loss_of, expected in ((lambda: 1.0, 0), (lambda: -next(losses), 4)):
        protocol = Protocol(plans)
        drive(protocol, lambda spec, loss_of=loss_of: Outcome(spec.trial_id, "done", 0.5, loss_of()))
        selection = next(one for one in protocol.selections if one.plan.cell.method == "ft")
        assert selection.winner == selection.searched[expected].hparams


def test_a_failed_configuration_never_wins_and_a_cell_of_failures_has_no_repeats(plans):
    def fails(spec: TrialSpec) -> Outcome:
        if spec.cell.method == "ft" and spec.stage == "search":
            return Outcome(spec.trial_id, "failed", None, None)
        return answer(spec)

    protocol = Protocol(plans)
    ran = drive(protocol, fails)
    assert protocol.done
    assert protocol.complete
    assert not [spec for spec in ran if spec.cell.method == "ft" and spec.stage == "repeat"]
    assert {one.plan.cell.method for one in protocol.selections} == {"zeroshot", "lp"}


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_the_trials_do_not_depend_on_the_number_of_workers_or_the_order_of_arrival(plans, workers):
    assert ids(drive(Protocol(plans), at_once=workers)) == ids(drive(Protocol(plans)))


@pytest.mark.parametrize("stop", range(0, 18, 3))
def test_a_sweep_cut_anywhere_and_resumed_runs_what_an_undisturbed_one_runs(plans, stop):
    whole = drive(Protocol(plans))
    before = drive(Protocol(plans), at_once=2, stop_after=stop)
    outcomes = [answer(spec) for spec in before]
    random.Random(stop).shuffle(outcomes)
    after = drive(Protocol(plans, outcomes))
    assert ids(before) | ids(after) == ids(whole)
    assert not ids(before) & ids(after)


def test_repeats_of_one_cell_start_while_another_still_searches(plans):
    protocol = Protocol(plans)
    stages = []
    for _ in range(12):
        spec = protocol.next()
        if spec is None:
            break
        stages.append((spec.cell.method, spec.stage))
        if spec.cell.method != "ft":
            protocol.finish(answer(spec))
    assert ("lp", "repeat") in stages
    assert stages.count(("ft", "search")) == 2  # one generation: the next waits for its results


def test_repeats_come_after_all_searches_and_fill_the_time_in_which_a_selection_waits(plans):
    ran = drive(Protocol(plans))
    assert ran[0].cell.method == "zeroshot", "which needs no search, and meets a broken split at once"
    stages = [spec.stage for spec in ran[1:]]
    assert stages == ["search"] * stages.count("search") + ["repeat"] * stages.count("repeat")
    assert {"search", "repeat"} == set(stages)


def test_more_seeds_methods_or_samples_run_only_what_is_new():
    first = drive(Protocol(plans_of(space_of())))
    outcomes = [answer(spec) for spec in first]
    more_seeds = drive(Protocol(plans_of(space_of(repeats={"seeds": 5})), outcomes))
    assert [(spec.stage, spec.seed) for spec in more_seeds] == [("repeat", 3), ("repeat", 4)], "of ft alone"
    more_methods = drive(Protocol(plans_of(space_of(methods=["zeroshot", "lp", "ft", "flyp"])), outcomes))
    assert {spec.cell.method for spec in more_methods} == {"flyp"}
    search = space_of().search.model_dump(mode="json", exclude_none=True)
    more_samples = drive(Protocol(plans_of(space_of(search={**search, "num_samples": 7})), outcomes))
    assert sum(spec.stage == "search" for spec in more_samples) == 2 * 2


def test_several_search_seeds_are_averaged():
    search = space_of().search.model_dump(mode="json", exclude_none=True)
    protocol = Protocol(plans_of(space_of(methods=["ft"], search={**search, "seeds": 3})))

    def noisy(spec: TrialSpec) -> Outcome:
        luck = 0.9 if spec.seed == 0 and spec.hparams["weight_decay"] == 0.1 else 0.0
        return Outcome(spec.trial_id, "done", 0.1 + luck + spec.hparams["lr"], 0.0)

    ran = drive(protocol, noisy)
    (selection,) = protocol.selections
    scores: dict[str, list[float]] = {}
    for spec in ran:
        if spec.stage == "search":
            scores.setdefault(spec.config_id, []).append(noisy(spec).score or 0.0)
    assert all(len(found) == 3 for found in scores.values())
    assert selection.repeats[0].config_id == max(scores, key=lambda config: sum(scores[config]))


def test_an_unreadable_data_set_blocks_its_own_cells_alone(plans):
    protocol = Protocol(plans)
    spec = protocol.next()
    assert spec is not None
    protocol.give_up(spec.trial_id)
    assert protocol.next() is None
    assert protocol.done
    assert not protocol.complete
    assert not protocol.outcomes


def test_what_selection_sees_cannot_hold_a_test_or_ood_number():
    assert [field.name for field in dataclasses.fields(Outcome)] == ["trial_id", "status", "score", "loss"]
    example = Example()
    (record,) = typed([example.trial(example.cell(), evaluations=example.evaluations(1.0, {"ood": 0.5}))])
    assert Outcome.of(record) == Outcome(record.trial_id, "done", 0.9, 0.2)


def test_the_kept_fit_of_a_repeat_stays_when_a_later_evaluation_of_it_fails(plans):
    protocol = Protocol(plans)
    drive(protocol)
    best = max(protocol.kept, key=lambda trial_id: protocol.outcomes[trial_id].score)
    searched = [one for one in protocol.outcomes.values() if one.trial_id not in protocol.repeats]
    again = Protocol(plans, searched)
    ran = drive(
        again,
        lambda spec: dataclasses.replace(answer(spec), status="failed") if spec.trial_id == best else answer(spec),
    )
    assert best in ids(ran)
    assert best in again.kept
    assert not any(best in again.unneeded(spec) for spec in ran)


def test_of_a_repeat_that_ends_only_itself_or_the_best_before_it_loses_its_fit():
    """So the driver's work at each end is the same however many repeats and cells there are."""
    protocol = Protocol(plans_of(space_of(methods=["ft", "flyp"], repeats={"seeds": 9})))
    gone: list[str] = []
    while (spec := protocol.next()) is not None:
        protocol.finish(answer(spec))
        if spec.stage == "repeat":
            lost = protocol.unneeded(spec)
            assert len(lost) <= 1
            gone += lost
    assert set(gone) == protocol.repeats - protocol.kept
    assert len(protocol.kept) == 2
