"""Whatever is typed: a search space that survives the way to YAML and back, or an InputError in one line."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_spaces import InputError, SearchSpace, dump, from_mapping
from search_spaces.overrides import Override
from search_spaces.sampling import grid, random_config
from search_spaces.yaml_text import read

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
    "resources": {"cpu": 4, "gpu": 0.25},
}
WORDS = sorted(
    {
        "<list>",
        "<mapping>",
        "<folders>",
        "<tables>",
        "[key]",
        "",
        "all",
        "grid",
        "optuna",
        "fifo",
        "choice",
        "loguniform",
        "{}",
        "a\nb",
        "1",
        "1e-6",
    }
    | set(SearchSpace.model_fields)
    | {"epoch", "folders", "tables", "table", "columns", "ood", "lr"}
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 20)
    | st.integers()
    | st.sampled_from([10**17, -(10**400), 10**400])
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=8)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4) | st.integers() | st.none(), inner, max_size=3)
        | st.dictionaries(st.sampled_from(["uniform", "loguniform", "int", "choice"]), st.lists(scalars, max_size=2))
    ),
    max_leaves=12,
)


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


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """A valid search space with one or two of its values replaced, removed or added."""
    data = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 2))):
        spots = list(_spots(data))
        container, key = draw(st.sampled_from(spots))
        if isinstance(container, dict) and draw(st.booleans()) and key in container:
            del container[key]
            if draw(st.booleans()):
                container[draw(st.sampled_from(WORDS))] = draw(trees)
        else:
            container[key] = draw(trees)
    return data


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _spots(item)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutations())
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


PATHS = (
    "train.epochs",
    "train",
    "search.space.lr",
    "search.per_method.ft",
    "shots",
    "dataset",
    "model.arch",
    "a.b",
    "name",
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.text(max_size=12)
        | st.builds("{}={}".format, st.sampled_from(PATHS), st.text(max_size=8))
        | st.builds(
            lambda path, tree: f"{path}={yaml.safe_dump(tree, default_flow_style=True)}",
            st.sampled_from(PATHS),
            trees,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_overrides(overrides: list[str]) -> None:
    check(outcome(lambda: from_mapping(VALID, "x.yaml", overrides)))


@given(st.text())
def test_an_override_is_parsed_or_refused(text: str) -> None:
    def build() -> SearchSpace:
        assert all(Override.parse(text).keys)
        return from_mapping(VALID)

    outcome(build)
