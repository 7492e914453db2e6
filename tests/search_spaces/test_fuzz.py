"""Whatever is typed: a search space that survives the way to YAML and back, or an InputError in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from garbage import mutations, overrides, trees
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyp_sweep.search_spaces import InputError, SearchSpace, dump, from_mapping
from flyp_sweep.search_spaces.overrides import Override
from flyp_sweep.search_spaces.sampling import grid, random_config
from flyp_sweep.search_spaces.yaml_text import read

VALID: dict[str, Any] = {
    "name": "x",
    "dataset": [
        "digits",
        {
            "name": "mine",
            "folders": {"train": "a", "id_val": "b", "id_test": "c", "ood": {"sketch": "d"}},
            "class_names": {"a": "x", "b": "y"},
            "templates": ["a {}"],
            "metric": "macro_f1",
        },
        {
            "name": "listed",
            "tables": {"train": "a.csv", "id_val": "b.parquet", "id_test": "c.tsv", "ood": {"sketch": "d.csv"}},
            "columns": {"path": "file", "label": "y"},
            "images": "e",
            "class_names": ["x", "y"],
        },
    ],
    "shots": [4, 16],
    "model": [{"arch": "A", "pretrained": "t"}, {"arch": "B", "name": "c"}],
    "methods": ["ft", "flyp", "a.b:C"],
    "train": {"epochs": 20, "batch_size": 64, "micro_batch": 16, "warmup_steps": 0, "templates": "all"},
    "search": {
        "algorithm": "random",
        "num_samples": 3,
        "batch": 4,
        "seeds": 1,
        "space": {"lr": {"loguniform": [1e-6, 1e-3]}, "wd": {"choice": [0.0, 0.1]}},
        "per_method": {"ft": {"depth": {"int": [1, 3]}, "u": {"uniform": [0, 1]}}},
    },
    "early_stopping": {"patience": 5},
    "scheduler": {"name": "asha", "grace_epochs": 2, "reduction_factor": 3},
    "repeats": {"seeds": 5},
    "wise_ft": {"alphas": [0.5], "frontier": True},
    "failures": {"max_failures": 3, "backoff_seconds": 1.0, "hang_minutes": 10.0},
    "checkpoints": {"every_seconds": 60.0, "max_gb": 2.5},
    "weights": {"keep": "all"},
    "predictions": "logits",
    "resources": {"cpu": 4, "gpu": 0.25},
}


def outcome(build: Callable[[], SearchSpace]) -> SearchSpace | None:
    """The search space that `build` makes, None when it is refused as it should be."""
    try:
        space = build()
    except InputError as error:
        refused = error
    else:
        return space
    assert str(refused).isprintable()
    return None


def check(space: SearchSpace | None) -> None:
    if space is None:
        return
    text = dump(space)
    assert from_mapping(read(text, "dumped")) == space
    assert space.cells()
    assert space.wise_ft.grid[-1] == 1.0
    for method in space.methods:
        distributions = space.for_method(method)
        configs = grid(distributions) if space.search.algorithm == "grid" else [random_config(distributions, 0)]
        assert all(set(config) == set(distributions) for config in configs)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutations(VALID))
def test_mutated_search_spaces(data: Any) -> None:
    check(outcome(lambda: from_mapping(data)))


@settings(max_examples=300, deadline=None)
@given(trees)
def test_arbitrary_trees_written_by_another_program(tree: Any) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    check(outcome(lambda: from_mapping(read(text, "x.yaml"))))


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(alphabet="ab:-[]{}&*!?|>'\"\n \t#%@,.1e\\xuU"))
def test_arbitrary_text(text: str) -> None:
    check(outcome(lambda: from_mapping(read(text, "x.yaml"))))


@settings(max_examples=300, deadline=None)
@given(overrides)
def test_overrides(typed: list[str]) -> None:
    check(outcome(lambda: from_mapping(VALID, "x.yaml", typed)))


@given(st.text())
def test_an_override_is_parsed_or_refused(text: str) -> None:
    def build() -> SearchSpace:
        assert all(Override.parse(text).keys)
        return from_mapping(VALID)

    outcome(build)
