"""A ledger to test with: records as the driver writes them, with numbers that are easy to work by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from flyp_sweep.results import make_table
from flyp_sweep.results.analysis.evidence import Evidence, evidence_of
from flyp_sweep.results.analysis.searches import CellSearch, searches_of
from flyp_sweep.results.ledger import schema
from flyp_sweep.results.ledger.tidy import tidy_frame
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.table import Entry, Grid, Table

Record = dict[str, Any]
"""A record as JSON, so that a test can break it."""


def record_of(fields: Record) -> schema.Record:
    """A record of JSON as a ledger gives it."""
    return msgspec.convert(fields, schema.Record)


def typed(records: Iterable[Record]) -> list[schema.Record]:
    """The records as a ledger gives them."""
    return list(map(record_of, records))


def frame_in(records: list[Record]) -> pd.DataFrame:
    return tidy_frame(typed(records))


def searches_in(records: list[Record], *rest: Any) -> list[CellSearch]:
    return searches_of(typed(records), *rest)


def evidence_in(records: list[Record], *rest: Any, **named: Any) -> Evidence:
    return evidence_of(typed(records), *rest, **named)


class Example:
    """Makes records; every method returns plain dictionaries."""

    metrics = ("accuracy", "mean_per_class_accuracy", "macro_f1")

    def cell(self, method: str = "ft", dataset: str = "digits", shots: int | None = None) -> Record:
        return {"dataset": dataset, "model": "digits-clip", "shots": shots, "method": method}

    def evaluations(self, alpha: float | None, values: dict[str, float], primary: str = "accuracy") -> list[Record]:
        """All splits at one alpha; a split's name tells its role, all that is neither id_* nor ood_val* being OOD."""
        splits = [
            {
                "split": split,
                "role": split if split.startswith("id_") else "ood_val" if split.startswith("ood_val") else "ood",
                "n_examples": 400,
                "primary": primary,
                "metrics": {metric: value if metric == primary else value / 2 for metric in self.metrics},
            }
            for split, value in values.items()
        ]
        return [{"alpha": alpha, "splits": splits}]

    def without(self, trial: Record, split: str) -> Record:
        """A trial that lacks a split."""
        kept = [at | {"splits": [one for one in at["splits"] if one["split"] != split]} for at in trial["evaluations"]]
        return trial | {"evaluations": kept}

    def trial(self, cell: Record, seed: int = 0, stage: str = "repeat", **changes: Any) -> Record:
        identity = json.dumps([cell, seed, stage, changes.get("config_id", "c0")])
        return {
            "kind": "trial",
            "trial_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
            "cell": cell,
            "stage": stage,
            "seed": seed,
            "hparams": {"lr": 0.0003, "weight_decay": 0.1},
            "config_id": "c0",
            "settings": {"ingredients": [{"lr": 0.0003}]} if "soup" in cell["method"] else {},
            "status": "done",
            "reason": None,
            "metric": "accuracy",
            "score": 0.9,
            "loss": 0.2,
            "best_epoch": 7,
            "epochs": 10,
            "alpha": None,
            "curve": [],
            "evaluations": [],
            "seconds": 3.1,
            "finished": "2026-11-21T22:00:00Z",
            "versions": {"torch": "2.15.0"},
        } | changes

    def repeat(
        self, cell: Record, seed: int, tuned: dict[str, float], mixed: dict[str, float], **changes: Any
    ) -> Record:
        """A finished repeat: `tuned` at alpha 1 and `mixed` at the chosen alpha 0.6, id_val among them or not."""
        evaluations = self.evaluations(1.0, tuned) + self.evaluations(0.6, mixed)
        return self.trial(cell, seed, **({"alpha": 0.6, "evaluations": evaluations} | changes))

    def failure(self, cell: Record, seed: int, reason: str = "out of memory") -> Record:
        return self.trial(cell, seed, status="failed", reason=reason, score=None, loss=None)

    def selection(self, trials: list[Record], **changes: Any) -> Record:
        first = trials[0]
        return {
            "kind": "selection",
            "cell": first["cell"],
            "config_id": first["config_id"],
            "hparams": first["hparams"],
            "score": 0.9,
            "metric": "accuracy",
            "split": "id_val",
            "configs": 8,
            "seeds": 1,
            "searched": [],
            "repeats": [trial["trial_id"] for trial in trials],
        } | changes

    def zeroshot(self, values: dict[str, float], alpha: float | None = None, **cell: Any) -> list[Record]:
        trial = self.trial(self.cell("zeroshot", **cell), hparams={}, evaluations=self.evaluations(alpha, values))
        return [trial, self.selection([trial])]

    def search(self, cell: Record, config_id: str, value: float = 0.8, seed: int = 0) -> Record:
        evaluations = self.evaluations(1.0, {"id_val": value})
        return self.trial(cell, seed, "search", config_id=config_id, evaluations=evaluations)

    def finished_cell(self, method: str, id_values: list[float], gain: float = 0.02, **cell: Any) -> list[Record]:
        """Repeats of one cell over seeds 0, 1, ... with two OOD sets, and their selection."""
        trials = []
        for seed, value in enumerate(id_values):
            tuned = {"id_val": value, "id_test": value, "photo": value - 0.2, "sketch": value - 0.3}
            mixed = {split: number + gain for split, number in tuned.items()}
            trials.append(self.repeat(self.cell(method, **cell), seed, tuned, mixed))
        return [*trials, self.selection(trials)]

    def run(self) -> list[Record]:
        """A zero-shot model, a search, and two methods of three seeds each."""
        values = {"id_val": 0.6, "id_test": 0.61, "photo": 0.5, "sketch": 0.4}
        return [
            *self.zeroshot(values),
            *(self.search(self.cell("ft"), f"c{i}", 0.8 + i / 100) for i in range(3)),
            *self.finished_cell("ft", [0.90, 0.92, 0.94]),
            *self.finished_cell("flyp", [0.93, 0.95, 0.97]),
        ]

    def large_run(self, configs: int = 399, shots: int | None = None) -> list[Record]:
        """Five methods of `configs` searched configurations and one repeat each: 2,000 trials as they are given."""
        records: list[Record] = []
        for method in ("lp", "ft", "l2sp", "lpft", "flyp"):
            cell = self.cell(method, shots=shots)
            searched = [
                self.search(cell, f"c{at}", 0.5 + at / 1000)
                | {"score": 0.5 + at / 1000, "hparams": {"lr": 1e-5 * 1.01**at, "weight_decay": 0.1 * (at % 3)}}
                for at in range(configs - 9)
            ]
            values = [0.9 + seed / 1000 for seed in range(10)]
            *repeats, selection = self.finished_cell(method, values, shots=shots)
            winner = searched[-1]
            own = {"config_id": winner["config_id"], "hparams": winner["hparams"]}
            repeats = [trial | own for trial in repeats]
            told = {"searched": [trial["trial_id"] for trial in searched], "configs": len(searched)}
            records += [*searched, selection | own | told, *repeats]
        return records

    def evidence(self, records: list[Record], run: str = "run", **rest: Any) -> Evidence:
        return evidence_in(records, run, **rest)

    def table(self, records: list[Record], layout: str = "auto", **options: Any) -> Table:
        return make_table([evidence_in(records)], layout, TableOptions(**options))

    def entry(self, grid: Grid, method: str, *path: str) -> Entry:
        """The entry of a row under the column whose path ends in `path`."""
        columns = [index for index, column in enumerate(grid.columns) if column.path[-len(path) :] == path]
        rows = [row for row in grid.rows if row.method == method]
        assert len(columns) == len(rows) == 1, (path, method)
        return rows[0].entries[columns[0]]

    def task(self, method: str, values: list[float], dataset: str, model: str = "vit", **cell: Any) -> list[Record]:
        """A cell with an ID test split alone, over seeds 0, 1, ..., and its selection."""
        own = {**self.cell(method, dataset, **cell), "model": model}
        trials = [self.repeat(own, seed, {"id_test": value}, {"id_test": value}) for seed, value in enumerate(values)]
        return [*trials, self.selection(trials)]

    def write(self, folder: Path, records: list[Record]) -> Path:
        path = folder / "ledger.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path
