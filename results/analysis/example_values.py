"""The values of a metric example by example, for intervals that know the chance of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from flyp_sweep.results.ledger.predictions import OutputSide, Repeat

METRICS = ("accuracy", "nll")
"""Metrics that are means over examples, and whose values the files hold."""

Array = npt.NDArray[np.float64]


class ExampleValues:
    """The per-example values of a run's repeats, read from its predictions when they are asked for."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    @cached_property
    def _repeats(self) -> dict[str, Repeat]:
        from flyp_sweep.results.ledger.predictions import repeats_in  # pandas is heavy, and most tables do without

        records, _ = self._run.ledger.load_hashed(curves=False)
        return {one.trial.trial_id: one for one in repeats_in(records, self._run.prediction_files)}

    def matrix(self, trial_ids: Sequence[str], side: OutputSide, split: str, metric: str) -> Array:
        """Values [trials, examples] on a split, examples in its order.

        Raises InputError for a metric that is no mean over examples, and as `RunFolder.predictions` does.
        """
        from flyp_sweep.results.ledger.predictions import read_one, refuse_missing

        if metric not in METRICS:
            raise InputError(
                f"--interval seeds+examples: found {metric}, expected a mean over images, {' or '.join(METRICS)}; take "
                "one of these as --metric, or another --interval"
            )
        repeats = [self._repeats[trial_id] for trial_id in trial_ids]
        refuse_missing(repeats, self._run.label)
        columns = ("row", "label", "predicted", "p_label")
        tables = [read_one(one, split, side, columns).sort_by("row").to_pandas() for one in repeats]
        return np.stack([_accuracy(table) if metric == "accuracy" else _nll(table) for table in tables])


def _accuracy(table: pd.DataFrame) -> Array:
    return (table["label"] == table["predicted"]).to_numpy(dtype=np.float64)


def _nll(table: pd.DataFrame) -> Array:
    return -np.log(table["p_label"].to_numpy().clip(min=np.finfo(np.float64).tiny))
