"""Search spaces and overrides as nobody should write them, for hypothesis."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import strategies as st

from flyp_sweep.search_spaces import SearchSpace

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


@st.composite
def mutations(draw: st.DrawFn, valid: dict[str, Any]) -> Any:
    """A `valid` search space with one or two of its values replaced, removed or added."""
    data = copy.deepcopy(valid)
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


overrides = st.lists(
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
