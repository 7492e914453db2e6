"""Grids in a fixed order, and random configurations whose hyper-parameters have streams of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flyp_sweep.search_spaces.distributions import Choice, Constant, IntRange, LogUniform, Uniform
from flyp_sweep.search_spaces.sampling import grid, random_config

SPACE = {"lr": LogUniform(1e-6, 1e-3), "weight_decay": Choice((0.0, 0.1, 0.2)), "depth": IntRange(1, 8)}


def test_grid_is_the_product_with_the_last_name_fastest() -> None:
    distributions = {"b": Choice((3, 1)), "a": IntRange(1, 2), "c": Constant("x")}
    assert [list(config.items()) for config in grid(distributions)] == [
        [("a", 1), ("b", 3), ("c", "x")],
        [("a", 1), ("b", 1), ("c", "x")],
        [("a", 2), ("b", 3), ("c", "x")],
        [("a", 2), ("b", 1), ("c", "x")],
    ]
    assert grid(dict(reversed(distributions.items()))) == grid(distributions), "whatever the order in the file"
    assert grid({}) == [{}]


def test_another_hyper_parameter_leaves_the_draws_of_the_others_alone() -> None:
    for index in range(50):
        more = random_config({"aaa": Uniform(0.0, 1.0), **SPACE, "zzz": Choice((1, 2))}, index)
        assert {name: more[name] for name in SPACE} == random_config(SPACE, index)


def test_draws_differ_by_name_and_index_and_not_by_the_order_in_the_file() -> None:
    config = random_config({"one": Uniform(0.0, 1.0), "two": Uniform(0.0, 1.0)}, 0)
    assert config["one"] != config["two"]
    assert len({random_config(SPACE, index)["lr"] for index in range(200)}) == 200
    assert random_config(SPACE, 3) == random_config(dict(reversed(SPACE.items())), 3)


def test_draws_are_the_same_in_a_fresh_process_with_another_hash_seed() -> None:
    script = (
        "from flyp_sweep.search_spaces.distributions import *\n"
        "from flyp_sweep.search_spaces.sampling import random_config\n"
        "print([random_config({'lr': LogUniform(1e-6, 1e-3), 'n': IntRange(1, 99)}, i) for i in range(5)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    here = [random_config({"lr": LogUniform(1e-6, 1e-3), "n": IntRange(1, 99)}, i) for i in range(5)]
    assert outputs == {f"{here}\n"}


def test_draws_of_today_are_the_draws_of_tomorrow() -> None:
    """A change here would change every finished sweep: it needs a reason and a line in the change log."""
    pinned = {"depth": 8, "lr": pytest.approx(0.00010630022038089827, rel=1e-12), "weight_decay": 0.1}
    assert random_config(SPACE, 0) == pinned
