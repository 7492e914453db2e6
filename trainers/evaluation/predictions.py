"""A repeat's predictions for each example of the reported splits: collected during the evaluation, then written."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.datasets.encoded import called
from flyp_sweep.trainers.evaluation.calibration import CHUNK, Outputs, outputs
from flyp_sweep.trainers.evaluation.metrics import Scores, score
from flyp_sweep.trainers.shared import bare
from flyp_sweep.trainers.task import Task

if TYPE_CHECKING:
    import pyarrow as pa

METADATA = b"flyp_sweep"
"""The metadata key of the Parquet file that holds the trial's metadata, as JSON."""

Found = tuple[Split, float, Outputs, torch.Tensor | None]
"""A split, a model's alpha, the results for each example, and the logits [N, C] if they are kept."""


class Predictions:
    """Scores the models of a repeat, and collects the predictions of those at alphas `shown`, which tables report.

    The scores at `shown` include calibration. `chosen` is the alpha chosen on `id_val`.
    """

    def __init__(self, task: Task, shown: Collection[float], chosen: float) -> None:
        self.task = task
        self.shown = shown
        self.chosen = chosen
        self._found: list[Found] = []

    def judge(self, split: Split, alpha: float, logits: torch.Tensor) -> Scores:
        """The scores of the model at `alpha` on `split`, from its `logits` [N, C]."""
        scores = score(logits, split)
        if alpha not in self.shown:
            return scores
        said = outputs(logits, split)
        files = self.task.prediction_files if self.task.ranks.rank == 0 else None
        if files is not None and files.kind != "none":
            self._found.append((split, alpha, said, logits.half().cpu() if files.kind == "logits" else None))
        return scores.adding(said.calibration(split.labels))

    def write(self) -> str | None:
        """Write the file of the trial, if predictions are kept; returns the reason if that fails."""
        if not self._found or self.task.prediction_files is None:
            return None
        return self.task.prediction_files.write(self.task.spec.trial_id, self.table())

    def table(self) -> pa.Table:
        """One row per split, alpha and example: see docs/predictions.md for the columns."""
        import pyarrow as pa

        dataset, trial_id = self.task.shared.dataset, self.task.spec.trial_id
        splits = {split.name: split for split, *_ in self._found}
        examples = {name: names_of(split) for name, split in splits.items()}
        parts = [_rows(one, trial_id, examples[one[0].name]) for one in self._found]
        facts = {
            "trial_id": trial_id,
            "chosen": self.chosen,
            "classes": list(dataset.class_names),
            "labels": {
                name: _labels(split, dataset.class_names)
                for name, split in splits.items()
                if not (split.class_map is None and split.class_names is None)
            },
            "groups": {name: list(split.group_names) for name, split in splits.items() if split.group_names},
            "splits": {name: self.task.spec.splits.get(name) for name in splits},
        }
        table = pa.concat_tables(parts).unify_dictionaries()
        return table.replace_schema_metadata({METADATA: json.dumps(facts)})


def names_of(split: Split) -> list[str]:
    """Names of a split's examples: the path of each image's file below the common folder, else its row."""
    names = called(bare(split.images))
    if len(names) < 2 or len(set(names)) < len(names):
        return [str(row) for row in range(len(split))]
    names = list(map(os.path.abspath, names))
    folder = os.path.commonpath(names)
    return [PurePath(name).relative_to(folder).as_posix() for name in names]


def _rows(found: Found, trial_id: str, examples: list[str]) -> pa.Table:
    import pyarrow as pa

    split, alpha, said, logits = found
    count = len(split)
    groups = None if split.groups is None else split.groups.astype(np.int32)
    columns: dict[str, Any] = {
        "trial_id": _constant(trial_id, count),
        "split": _constant(split.name, count),
        "alpha": pa.array(np.full(count, alpha)),
        "row": pa.array(np.arange(count, dtype=np.int32)),
        "example": pa.array(examples, pa.string()),
        "label": pa.array(split.labels.astype(np.int32)),
        "predicted": pa.array(said.predicted.astype(np.int32)),
        "confidence": pa.array(said.confidence),
        "p_label": pa.array(said.p_label),
        "group": pa.nulls(count, pa.int32()) if groups is None else pa.array(groups, mask=groups < 0),
    }
    if logits is not None:
        columns["logits"] = pa.chunked_array([_lists(rows.numpy()) for rows in logits.split(CHUNK)])
    return pa.table(columns)


def _lists(rows: np.ndarray) -> pa.ListArray:
    """A list per row, in chunks whose offsets fit into 32 bits."""
    import pyarrow as pa

    count, length = rows.shape
    return pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * length, pa.array(rows.reshape(-1)))


def _constant(text: str, count: int) -> pa.DictionaryArray:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, dtype=np.int32)), pa.array([text]))


def _labels(split: Split, classes: Collection[str]) -> list[str]:
    """The names of a split's own labels: of its own classes, or of the first class that maps to each label."""
    if split.class_map is None:
        return list(split.class_names or classes)
    names = [""] * (int(split.class_map.max()) + 1)
    for label, name in reversed(list(zip(split.class_map.tolist(), classes, strict=True))):
        if label >= 0:
            names[label] = name
    return names
