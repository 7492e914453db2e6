from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.protocol.algorithms import Tried, planned_configs
from flyp_sweep.orchestrator.protocol.algorithms.grid import ask as grid
from flyp_sweep.orchestrator.protocol.algorithms.optuna import ask as optuna
from flyp_sweep.orchestrator.protocol.algorithms.random import ask as random

GRID = {"algorithm": "grid", "space": {"lr": {"choice": [1e-4, 1e-3]}, "weight_decay": {"choice": [0.0, 0.1, 0.2]}}}


def ft_plan(**search):
    return plans_of(space_of(methods=["ft"], search=search))[0]


def optuna_plan(**changes):
    base = space_of().search.model_dump(mode="json", exclude_none=True)
    return ft_plan(**{**base, **changes})


def test_a_grid_is_its_whole_product_in_one_generation():
    plan = ft_plan(**GRID)
    configs = grid(plan, 0, [])
    assert len(configs) == planned_configs(plan) == 6
    assert len({tuple(sorted(config.items())) for config in configs}) == 6
    assert grid(plan, 1, []) == []


def test_lp_in_a_grid_takes_its_own_strengths():
    plan = plans_of(space_of(methods=["lp"], search=GRID))[0]
    assert len(grid(plan, 0, [])) == 8


def test_optuna_asks_in_generations_of_fixed_size_and_ends_after_num_samples():
    plan = optuna_plan(num_samples=5, batch=2)
    tried: list[Tried] = []
    sizes = []
    for generation in range(4):
        configs = optuna(plan, generation, tried)
        sizes.append(len(configs))
        tried += [Tried(config, config["lr"]) for config in configs]
    assert sizes == [2, 2, 1, 0]


def test_optuna_depends_on_what_it_was_told_and_on_nothing_else():
    plan = optuna_plan(num_samples=8, batch=4)
    first = optuna(plan, 0, [])
    good = [Tried(config, config["lr"]) for config in first]
    bad = [Tried(config, -config["lr"]) for config in first]
    assert optuna(plan, 1, good) == optuna(plan, 1, good)
    assert optuna(plan, 1, good) != optuna(plan, 1, bad)
    assert optuna(plan, 1, [Tried(one.config, None) for one in good])  # all failed: it goes on at random


def test_cells_ask_their_own_questions_but_start_from_common_draws():
    plans = plans_of(space_of(methods=["ft", "flyp"]))
    starts = [optuna(plan, 0, []) for plan in plans]
    assert starts[0] == starts[1]
    told = [Tried(config, config["lr"]) for config in starts[0]]
    assert optuna(plans[0], 1, told) != optuna(plans[1], 1, told)


def test_a_new_hyper_parameter_leaves_the_draws_of_the_others():
    space = {"lr": {"loguniform": [1e-4, 1e-2]}, "weight_decay": {"uniform": [0.0, 0.2]}}
    plain = ft_plan(algorithm="random", num_samples=4, space=space)
    other = plans_of(
        space_of(
            methods=["l2sp"],
            search={"algorithm": "random", "num_samples": 4, "space": {**space, "l2sp_strength": {"uniform": [0, 1]}}},
        )
    )[0]
    for few, many in zip(random(plain, 0, []), random(other, 0, []), strict=True):
        assert few.items() <= many.items()


def questions() -> str:
    plan = optuna_plan(num_samples=8, batch=4)
    told = [Tried(config, config["lr"]) for config in optuna(plan, 0, [])]
    return f"{told} {optuna(plan, 1, told)}"


def test_questions_are_the_same_in_a_fresh_process():
    here = Path(__file__).parent
    script = "import sys; sys.path[:0] = sys.argv[1:]; import test_algorithms; print(test_algorithms.questions())"
    command = [sys.executable, "-c", script, str(here), str(here.parent / "support")]
    environment = dict(os.environ, PYTHONHASHSEED="7")
    fresh = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert fresh.stdout == f"{questions()}\n"
