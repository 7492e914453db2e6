"""What the search tried, and winners on the edge of it."""

from __future__ import annotations

import pytest
from ledgers import searches_in

from flyp_sweep.results.analysis.search_edges import edge_lines, edges_of
from flyp_sweep.results.analysis.searches import CellSearch, ScoredConfig
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.distributions import parse
from flyp_sweep.search_spaces.loading import from_mapping


def search_with(raw: object, value: object, others: tuple[object, ...] = ()) -> CellSearch:
    tried = tuple(ScoredConfig(str(one), {"h": one}, (0.5,)) for one in (value, *others))
    return CellSearch(Cell("digits", "clip", None, "ft"), "FT", tried, {"h": parse(raw)}, str(value), "accuracy")


@pytest.mark.parametrize(
    ("raw", "value", "side"),
    [
        ({"choice": [0.1, 0.2, 0.3]}, 0.3, "upper"),
        ({"choice": [0.3, 0.1, 0.2]}, 0.1, "lower"),
        ({"choice": [0.1, 0.2, 0.3]}, 0.2, None),
        ({"choice": [0.1, 0.3]}, 0.3, None),  # two values have nothing between them
        ({"choice": [0.0, 0.1, 0.2]}, 0.0, None),  # no strength is below 0
        ({"choice": [0.0, 0.1, 0.2]}, 0.2, "upper"),
        ({"choice": ["a", "b", "c"]}, "a", None),
        ({"choice": [1, 2, "all"]}, 1, None),
        ({"choice": [True, False]}, True, None),
        (0.5, 0.5, None),
        ({"int": [1, 3]}, 3, "upper"),
        ({"int": [1, 2]}, 2, None),
        ({"int": [1, 100]}, 99, None),
        ({"uniform": [1.0, 2.0]}, 1.96, "upper"),
        ({"uniform": [1.0, 2.0]}, 1.94, None),
        ({"uniform": [0.0, 2.0]}, 0.01, None),
        ({"loguniform": [1e-6, 1e-2]}, 1.5e-6, "lower"),  # log10: 4.4% of the way
        ({"loguniform": [1e-6, 1e-2]}, 1.7e-6, None),  # 5.8%
        ({"loguniform": [1e-6, 1e-2]}, 6.5e-3, "upper"),  # 95.3%, but 65% on a linear scale
    ],
)
def test_the_edge_of_a_range(raw, value, side):
    assert [edge.side for edge in edges_of([search_with(raw, value)])] == ([side] if side else [])


def test_a_search_without_a_winner_has_no_edge():
    search = search_with({"choice": [1, 2, 3]}, 3)
    assert edges_of([CellSearch(search.cell, "FT", search.tried, search.ranges)]) == []


def test_a_line_names_the_hyper_parameter_the_range_and_the_cells():
    raw = {"loguniform": [1e-5, 1e-3]}
    cells = [Cell("digits", "clip", shots, "flyp") for shots in (4, 16)]
    searches = [CellSearch(cell, "FLYP", search_with(raw, 1e-3).tried, {"h": parse(raw)}, "0.001") for cell in cells]
    assert edge_lines(edges_of(searches)) == [
        "the selected h lies on the upper edge of what was searched (1e-05 to 0.001) for FLYP (digits 4-shot): 0.001, "
        "FLYP (digits 16-shot): 0.001; a wider range may hold a better one"
    ]


def test_only_what_the_selection_saw_counts_and_a_failed_trial_takes_its_configuration_out(example):
    trials = [
        example.search(example.cell(), config, seed=seed) | {"score": score}
        for config, seed, score in [("c0", 0, 0.8), ("c0", 1, 0.9), ("c1", 0, 0.7), ("c2", 0, 0.99)]
    ]
    lost = example.search(example.cell(), "c1", seed=1) | {"score": None, "status": "failed"}
    selection = example.selection([trials[0]]) | {"searched": [one["trial_id"] for one in (*trials[:3], lost)]}
    (search,) = searches_in([*trials, lost, selection])
    assert {one.config_id: one.score for one in search.tried} == {"c0": pytest.approx(0.85), "c1": None}
    assert search.winner is not None
    assert search.winner.config_id == "c0"


def test_no_number_of_a_test_or_ood_set_is_read(example):
    trials = [example.search(example.cell(), f"c{at}") | {"score": at / 10} for at in range(3)]
    selection = example.selection([trials[2]]) | {"searched": [one["trial_id"] for one in trials]}
    poisoned = [trial | {"evaluations": example.evaluations(1.0, {"id_test": 0.0, "photo": 1.0})} for trial in trials]
    assert searches_in([*poisoned, selection]) == searches_in([*trials, selection])


def test_ranges_are_those_of_the_selection_then_of_the_space_then_what_was_tried(example):
    trials = [example.search(example.cell(), f"c{at}") | {"hparams": {"lr": 10.0**-at}} for at in (2, 3, 4)]
    selection = example.selection([trials[0]]) | {"searched": [one["trial_id"] for one in trials]}
    space = from_mapping(
        {
            "name": "s",
            "dataset": "digits",
            "model": {"arch": "digits-clip", "pretrained": "bundled"},
            "methods": ["ft"],
            "search": {"num_samples": 3, "space": {"lr": {"loguniform": [1e-4, 1.0]}}},
        }
    )
    told = selection | {"space": {"lr": {"loguniform": [1e-6, 1e-2]}}}
    assert searches_in([*trials, told], space)[0].ranges == {"lr": parse({"loguniform": [1e-6, 1e-2]})}
    assert searches_in([*trials, selection], space)[0].ranges == {"lr": parse({"loguniform": [1e-4, 1.0]})}
    assert searches_in([*trials, selection])[0].ranges == {"lr": parse({"choice": [1e-2, 1e-3, 1e-4]})}


@pytest.mark.parametrize(
    ("raw", "value", "side"),
    [
        ({"loguniform": [1e-4, 1e-1]}, 1.0, "upper"),
        ({"loguniform": [1e-4, 1e-1]}, 0.0, "lower"),
        ({"uniform": [0.0, 1.0]}, 2.0, "upper"),
        ({"choice": [1, 2, 3]}, 7, "upper"),
        ({"int": [1, 100]}, "all", None),
    ],
)
def test_a_value_that_was_given_beyond_a_range_lies_on_its_edge(raw, value, side):
    assert [edge.side for edge in edges_of([search_with(raw, value)])] == ([side] if side else [])
