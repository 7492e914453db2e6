"""Per-example outputs of a ledger's repeats, as workers write them, with numbers from a seeded generator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Record = dict[str, Any]

SCHEMA = pa.schema(
    {
        "trial_id": pa.dictionary(pa.int32(), pa.string()),
        "split": pa.dictionary(pa.int32(), pa.string()),
        "alpha": pa.float64(),
        "row": pa.int32(),
        "example": pa.string(),
        "label": pa.int32(),
        "predicted": pa.int32(),
        "confidence": pa.float32(),
        "p_label": pa.float64(),
        "group": pa.int32(),
    }
)


def probabilities(seed: int, labels: np.ndarray, classes: int, strength: float = 2.0) -> np.ndarray:
    """Softmax of random logits [N, C] that favour the label."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += strength
    raised = np.exp(logits)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def write_outputs_of(
    folder: Path,
    records: Sequence[Record],
    examples: int = 40,
    classes: Sequence[str] = ("cat", "dog", "emu"),
    labels: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """A file for every finished repeat among `records`; splits are those of its evaluations, `id_val` left out.

    `labels` names the labels of splits that have their own. Identities of splits are those of the trial's settings, or
    `of <split>`.
    """
    (folder / "predictions").mkdir(exist_ok=True)
    for record in records:
        if record["kind"] == "trial" and record["stage"] == "repeat" and record["status"] == "done":
            _write(folder / "predictions" / f"{record['trial_id']}.parquet", record, examples, classes, labels or {})


def _write(
    path: Path, record: Record, examples: int, classes: Sequence[str], labels_of: Mapping[str, Sequence[str]]
) -> None:
    alphas = sorted({at["alpha"] or 0.0 for at in record["evaluations"]})
    splits = [one["split"] for one in record["evaluations"][0]["splits"] if one["split"] != "id_val"]
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for place, split in enumerate(splits):
        labels = np.random.default_rng(place).integers(len(classes), size=examples)
        for alpha in alphas:
            p = probabilities(int(record["trial_id"][:6], 16) + place, labels, len(classes), 1 + alpha)
            columns["trial_id"] += [record["trial_id"]] * examples
            columns["split"] += [split] * examples
            columns["alpha"] += [alpha] * examples
            columns["row"] += range(examples)
            columns["example"] += [f"{split}/{row}.png" for row in range(examples)]
            columns["label"] += labels.tolist()
            columns["predicted"] += p.argmax(axis=1).tolist()
            columns["confidence"] += p.max(axis=1).tolist()
            columns["p_label"] += p[np.arange(examples), labels].tolist()
            columns["group"] += [None] * examples
    identities = record.get("settings", {}).get("splits", {})
    facts = {
        "trial_id": record["trial_id"],
        "chosen": record["alpha"] if record["alpha"] is not None else alphas[0],
        "classes": list(classes),
        "labels": dict(labels_of),
        "splits": {split: identities.get(split, f"of {split}") for split in splits},
    }
    schema = SCHEMA.with_metadata({"flyp_sweep": json.dumps(facts)})
    arrays = [
        pa.array(values, field.type.value_type).dictionary_encode()
        if pa.types.is_dictionary(field.type)
        else pa.array(values, field.type)
        for field, values in zip(SCHEMA, columns.values(), strict=True)
    ]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)
