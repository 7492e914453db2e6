"""The smallest valid search space, to change."""

from __future__ import annotations

from typing import Any

from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.search_spaces.model import SearchSpace

MAPPING: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
    "methods": ["zeroshot"],
    "search": {"num_samples": 1},
}


def space_with(**changes: Any) -> SearchSpace:
    """A search space of a file `my.yaml` with top-level keys replaced or added by `changes`."""
    return from_mapping({**MAPPING, **changes}, "my.yaml")
