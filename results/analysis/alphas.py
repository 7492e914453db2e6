"""The WiSE-FT mixing coefficient in ledger records: which one a trial chose, and at which one a number stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flyp_sweep.results.naming import ZEROSHOT

_TOLERANCE = 1e-9


def chosen_alpha(trial: Mapping[str, Any]) -> float | None:
    """The WiSE-FT alpha that the trial chose on id_val: 0 for the zero-shot model, None where none was chosen."""
    if trial["cell"]["method"] == ZEROSHOT:
        return 0.0
    alpha = trial.get("alpha")
    return None if alpha is None else float(alpha)


def evaluated_alpha(evaluation: Mapping[str, Any]) -> float:
    """The alpha of one evaluation; null, as the zero-shot model may have it, is 0."""
    return 0.0 if evaluation["alpha"] is None else float(evaluation["alpha"])


def same_alpha(a: float, b: float) -> bool:
    """Whether two alphas are the same point of a grid, whichever way they were computed."""
    return math.isclose(a, b, abs_tol=_TOLERANCE)
