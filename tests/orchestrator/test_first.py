"""`search.first`: given configurations come before the algorithm's own, and are checked before anything starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sweeps import answer, drive, plans_of, space_of

from flyp_sweep.orchestrator.protocol.algorithms import Tried, algorithm_of, fewer_configs, planned_configs
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.dry_run import describe
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump, from_mapping
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.yaml_text import read
from flyp_sweep.trainers.preflight import check

RANGES = {"lr": {"loguniform": [1e-4, 1e-2]}, "weight_decay": {"choice": [0.0, 0.1]}}
LISTS = {"lr": {"choice": [1e-4, 1e-3]}, "weight_decay": {"choice": [0.0, 0.1]}}
FIXED = {"weight_decay": 0.0, "head_strength": 0.0}
PUBLISHED = {"lr": 1e-5, "weight_decay": 0.1}


def space_with(first: list[dict[str, Any]], methods: tuple[str, ...] = ("ft",), **search: Any) -> SearchSpace:
    own = {"algorithm": "optuna", "num_samples": 6, "batch": 2, "space": RANGES, **search, "first": first}
    return space_of(methods=list(methods), search=own)


def plan_with(first: list[dict[str, Any]], **search: Any) -> CellPlan:
    return plans_of(space_with(first, **search))[0]


def asked(plan: CellPlan) -> list[dict[str, Any]]:
    """The configurations of the whole search, in the order in which they are asked for."""
    specs = [spec for spec in drive(Protocol([plan])) if spec.stage == "search"]
    return [dict(spec.hparams) for spec in specs]


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_a_sampled_search_begins_with_them_and_has_no_more_trials(algorithm: str) -> None:
    first = [PUBLISHED, {"lr": 3e-5}, {"weight_decay": 0.05}]
    plan = plan_with(first, algorithm=algorithm)
    found, drawn = asked(plan), asked(plan_with([], algorithm="random"))
    assert found[:3] == [PUBLISHED, {**drawn[1], "lr": 3e-5}, {**drawn[2], "weight_decay": 0.05}]
    assert len(found) == planned_configs(plan) == 6
    if algorithm == "random":
        assert found[3:] == drawn[3:], "the other draws are as without them"


def test_a_grid_is_extended_by_them_and_nothing_comes_twice() -> None:
    grid = {"algorithm": "grid", "num_samples": None, "space": LISTS}
    plan = plan_with([PUBLISHED, {"lr": 1e-3, "weight_decay": 0.1}, PUBLISHED, {"weight_decay": 0.2}], **grid)
    found = asked(plan)
    assert found[:3] == [PUBLISHED, {"lr": 1e-3, "weight_decay": 0.1}, {"lr": 1e-3, "weight_decay": 0.2}]
    assert len(found) == planned_configs(plan) == 4 + 2
    assert max(Counter(map(str, found)).values()) == 1
    assert sorted(map(str, asked(plan_with([], **grid)))) == sorted(map(str, found[1:2] + found[3:]))


def test_a_list_has_as_many_configurations_more_as_are_given_beside_it() -> None:
    plan = plan_with([PUBLISHED, {"lr": 1e-3, "weight_decay": 0.1}], algorithm="random", space=LISTS)
    assert len(asked(plan)) == planned_configs(plan) == 4 + 1
    assert fewer_configs([plan]) == [
        "ft: there can be 5 configurations (lr: 2 x weight_decay: 2 values, and 1 of search.first), fewer than the 6 "
        "of search.num_samples"
    ]


@pytest.mark.parametrize("given", [{"lr": 1e-3, "weight_decay": 0.1}, PUBLISHED])
def test_optuna_learns_from_those_within_the_ranges_alone(given: dict[str, Any]) -> None:
    plan = plan_with([given])
    ask = algorithm_of(plan.space).ask
    mine, drawn = ask(plan, 0, [])
    worse, better = (ask(plan, 1, [Tried(mine, score), Tried(drawn, 0.5)]) for score in (0.1, 0.9))
    assert (worse == better) == (given is PUBLISHED)


def test_more_than_a_generation_of_them_are_asked_for_at_once() -> None:
    plan = plan_with([{"lr": 10.0**-at} for at in (2, 3, 4, 5)])
    assert len(algorithm_of(plan.space).ask(plan, 0, [])) == 4
    assert len(asked(plan)) == 6


def test_each_method_takes_what_it_searches() -> None:
    per_method = {"l2sp": {**FIXED, "l2sp_strength": {"loguniform": [1e-4, 1e-1]}}}
    first = [{**PUBLISHED, "l2sp_strength": 1}]
    space = space_with(first, ("zeroshot", "lp", "ft", "l2sp"), per_method=per_method)
    plans = {plan.cell.method: plan for plan in plans_of(space)}
    assert {method: list(plan.first) for method, plan in plans.items()} == {
        "zeroshot": [],
        "lp": [],
        "ft": [PUBLISHED],
        "l2sp": [{"lr": 1e-5, "l2sp_strength": 1.0}],
    }
    assert isinstance(plans["l2sp"].first[0]["l2sp_strength"], float), "as what is drawn: so 1 and 1.0 are one trial"
    assert asked(plans["l2sp"])[0] == {"lr": 1e-5, "l2sp_strength": 1.0} | FIXED


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_search_that_was_cut_off_asks_for_the_same(stop: int) -> None:
    plan = plan_with([PUBLISHED, {"lr": 3e-5}, {"weight_decay": 0.05}])
    before = drive(Protocol([plan]), stop_after=stop)
    after = drive(Protocol([plan], [answer(spec) for spec in before]))
    whole = [spec.trial_id for spec in drive(Protocol([plan]))]
    assert [spec.trial_id for spec in (*before, *after)] == whole


def test_a_run_s_own_space_asks_for_the_same() -> None:
    plan = plan_with([PUBLISHED, {"weight_decay": 0}])
    written = from_mapping(read(dump(plan.space), "space.yaml"))
    assert written == plan.space
    assert asked(plans_of(written)[0]) == asked(plan)


def test_a_dry_run_shows_them() -> None:
    space = space_with([PUBLISHED, {"lr": 3e-5}], ("zeroshot", "ft"))
    lines = describe(space, plans_of(space)).splitlines()
    assert "first" not in lines[1]
    assert "x 1 seed searched, first {lr: 1e-05, weight_decay: 0.1}, then {lr: 3e-05}, 3 repeats" in lines[2]


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (
            [{"lrr": 1e-5}],
            "search.first[0].lrr: found 1e-05; expected a hyper-parameter that a method here searches: lr",
        ),
        (
            [{"lr": 1e-5}, {"l2sp_strength": 0.1}],
            "search.first[1].l2sp_strength: found 0.1; expected a hyper-parameter",
        ),
        ([{"lr": 0}], "search.first[0].lr: found 0; expected a finite number above 0"),
        ([{"lr": "1e-5"}], "search.first[0].lr: found '1e-5'; expected a finite number above 0 (leave out the quotes"),
        ([{"weight_decay": -0.1}], "search.first[0].weight_decay: found -0.1; expected a finite number at least 0"),
        (
            [{"lr": {"choice": [1]}}],
            "search.first[0].lr: found {choice: [1]}; expected a finite number, a text or true",
        ),
        ([{"lr": [1e-5]}], "search.first[0].lr: found [1e-05]; expected a finite number, a text or true/false"),
        ([{}], "search.first[0]: found {}; expected a list of mappings from hyper-parameters to values, as in [{lr:"),
        ({"lr": 1e-5}, "search.first: found {lr: 1e-05}; expected a list of mappings"),
        (
            [{"lr": 1e-5}] * 7,
            "search.first: found 7 configurations; expected at most search.num_samples, 6, among which",
        ),
    ],
)
def test_what_is_wrong_with_them_is_told_in_a_line(first: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        check(space_with(first), Path("absent"))
    assert told in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_value_that_is_fixed_is_not_tried_otherwise() -> None:
    fixed = {"space": {"lr": RANGES["lr"], "weight_decay": 0.0}}
    assert list(plan_with([{"lr": 1e-5, "weight_decay": 0.0}], **fixed).first) == [{"lr": 1e-5}]
    told = "search.first[0].weight_decay: found 0.1, which is not tried: weight_decay is fixed at 0.0"
    assert told in check(space_with([PUBLISHED], **fixed), Path("data")).warnings
    with pytest.raises(InputError, match=r"search\.first: found \[\{lr: 1e-05.*expected nothing with algorithm none"):
        plan_with([PUBLISHED], algorithm="none", num_samples=None, space={"lr": 1e-3, "weight_decay": 0.0})


def test_a_sweep_cut_down_to_other_methods_keeps_them() -> None:
    assert list(plans_of(space_with([PUBLISHED], ("zeroshot", "lp")))[1].first) == []
