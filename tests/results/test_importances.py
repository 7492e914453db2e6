"""Importances of hyper-parameters: whose values move the scores of a search, and when that cannot be told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from ledgers import Example, evidence_in, searches_in, typed

from flyp_sweep.results import make_table
from flyp_sweep.results.analysis.importances import FEWEST_CONFIGS, Importance, importances_of
from flyp_sweep.results.analysis.searches import CellSearch, ScoredConfig
from flyp_sweep.results.figures.importance import draw_importance
from flyp_sweep.results.report import Run, report
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.distributions import parse
from flyp_sweep.search_spaces.sampling import random_configs

Score = Callable[[Mapping[str, Any]], float]
RANGES: dict[str, Any] = {
    "lr": {"loguniform": [1e-6, 1e-2]},
    "depth": {"int": [1, 8]},
    "matrices": {"choice": ["q", "v", "qv"]},
    "weight_decay": {"choice": [0.0, 0.1, 0.2]},
    "momentum": 0.9,
}


def searched(score: Score, count: int = 24, shots: int | None = None, **ranges: Any) -> CellSearch:
    """A random search of `count` configurations and their scores."""
    distributions = {name: parse(raw) for name, raw in {**RANGES, **ranges}.items()}
    configs = random_configs(distributions, count)
    tried = tuple(ScoredConfig(str(at), config, (score(config),)) for at, config in enumerate(configs))
    return CellSearch(Cell("digits", "clip", shots, "ft"), "FT", tried, distributions, "0", "accuracy")


def importance(search: CellSearch) -> Importance:
    (found,) = importances_of([search])
    return found


@pytest.mark.parametrize(
    ("score", "first"),
    [
        (lambda config: math.log10(config["lr"]), "lr"),
        (lambda config: float(config["lr"] > 1e-4), "lr"),  # the middle on its own scale, a hundredth on a linear one
        (lambda config: config["depth"] / 8, "depth"),
        (lambda config: float(config["matrices"] == "qv"), "matrices"),
        (lambda config: config["weight_decay"], "weight_decay"),
    ],
)
def test_what_moves_the_scores_comes_first_on_any_scale(
    score: Callable[[Mapping[str, Any]], float], first: str
) -> None:
    found = importance(searched(score))
    assert found.reason == ""
    assert next(iter(found.shares)) == first
    assert found.shares[first] > 0.7
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.shares.keys() == RANGES.keys() - {"momentum"}, "a constant has no share"
    assert found == importance(searched(score)), "the forest has a seed"


def lr(config: Mapping[str, Any]) -> float:
    return -math.log10(config["lr"])


def test_what_cannot_be_told_has_a_reason_or_no_place() -> None:
    few = importance(searched(lr, FEWEST_CONFIGS - 1))
    assert (few.shares, few.reason) == ({}, "7 configurations with a score, of at least 8")
    flat = importance(searched(lambda config: 0.5))
    assert (flat.shares, flat.reason) == ({}, "all configurations have the same score")
    alone = searched(lr, depth=1, matrices="q", weight_decay=0.0)
    assert importances_of([alone]) == []


def test_failed_configurations_and_values_beyond_the_ranges_are_left_out_and_stopped_ones_are_counted() -> None:
    search = searched(lr)
    first, second, third, *rest = search.tried
    spoilt = [
        replace(first, failed=1),
        replace(second, hparams={**second.hparams, "lr": 0.0}),
        replace(third, stopped=1),
    ]
    found = importance(replace(search, tried=(*spoilt, *rest)))
    assert (found.configs, found.stopped) == (22, 1)
    assert found.shares == importance(replace(search, tried=(third, *rest))).shares


def test_a_hyper_parameter_that_was_fixed_since_is_left_out() -> None:
    search = searched(lr, 60)
    fixed = replace(search, ranges={**search.ranges, "weight_decay": parse(0.1)})
    assert importance(fixed).shares.keys() == {"lr", "depth", "matrices"}


def test_a_hyper_parameter_that_only_some_configurations_have_is_left_out() -> None:
    search = searched(lr)
    some = [
        replace(one, hparams={name: value for name, value in one.hparams.items() if at % 2 or name != "depth"})
        for at, one in enumerate(search.tried)
    ]
    assert importance(replace(search, tried=tuple(some))).shares.keys() == {"lr", "matrices", "weight_decay"}


def test_a_figure_has_a_bar_for_each_and_says_what_has_none() -> None:
    dollar = replace(searched(lr), label="Mine $1")
    few = searched(lr, 3, shots=4)
    drawn = draw_importance(importances_of([dollar, few]))
    ((stem, figure),) = drawn.figures.items()
    assert stem == "importance-digits-clip-full"
    (axes,) = figure.axes
    assert len(axes.patches) == 4
    assert axes.get_yticklabels()[0].get_text() == r"Mine \$1: lr"
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(100)
    assert drawn.skipped == {
        "digits, clip, 4-shot, importance": "FT: 3 configurations with a score, of at least 8",
    }


def test_the_report_has_a_table_and_says_what_the_numbers_are(example: Example) -> None:
    records = example.large_run(20)
    run = Run("run", "name: run\n", tuple(typed(records)), evidence_in(records, "run"), tuple(searches_in(records)))
    few = importance(searched(lr, 3))
    page = report([replace(run, importances=[*importances_of(run.searches), few])], make_table([run.evidence]), {})
    assert '<h2 id="importances">' in page
    assert page.count("<td>11</td>") == 5, "configurations of each method"
    assert "Too little to tell: FT (3 configurations with a score, of at least 8)." in page
    assert "A trial that the scheduler stopped counts with its best score until then" in page
    assert "importances" not in report([run], make_table([run.evidence]), {})


def test_scores_come_from_search_trials_alone_and_stopped_ones_count(example: Example) -> None:
    records = example.large_run(20)
    stopped = [one | {"status": "stopped"} if one.get("config_id") == "c3" else one for one in records]
    assert [one.stopped for one in importances_of(searches_in(stopped))] == [1] * 5
    shares = [one.shares for one in importances_of(searches_in(records))]
    assert [one.shares for one in importances_of(searches_in(stopped))] == shares
    worse = [one | {"score": 0.0} if one.get("stage") == "repeat" else one for one in records]
    assert worse != records
    assert [one.shares for one in importances_of(searches_in(worse))] == shares
