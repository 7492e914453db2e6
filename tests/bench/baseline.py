"""The protocol as a researcher runs it with published code: a fresh process for every training run, nothing shared.

The configurations asked are those that the project asks, the selections follow the same rule but are made here, and
what comes out is a ledger of the project's format: `flyp-sweep table OUT` makes the same table of it. One run follows
the other, on all cores, as the published scripts do; with `--at-once N` so many go on at once and share the cores,
which is what a careful user makes of them.

    python tests/bench/baseline.py quickstart --out /tmp/baseline
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from flyp_sweep.orchestrator.protocol.algorithms import Config, Tried, algorithm_of
from flyp_sweep.orchestrator.protocol.plan import CellPlan, plan
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import Record
from flyp_sweep.search_spaces.loading import dump, load
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.spec import TrialSpec

TRIAL = Path(__file__).with_name("baseline_trial.py")
VERSIONS = {name: version(name) for name in ("torch", "torchvision", "open_clip_torch")}

Fields = dict[str, Any]


class Baseline:
    """One sweep: its run folder, and how many runs go on at once."""

    def __init__(self, space: SearchSpace, out: Path, data_root: Path, at_once: int = 1) -> None:
        if space.shots is not None:
            raise SystemExit("shots: the baseline trains on all images; leave shots out")
        self.data_root = data_root.resolve()
        self.plans = plan(space, check(space, self.data_root))
        self.folder = RunFolder.create(out, dump(space))
        self.threads = max(1, (os.cpu_count() or 1) // at_once)
        self._free = threading.Semaphore(at_once)
        self._writing = threading.Lock()

    def go(self) -> None:
        """Run all cells; a cell waits for its own runs alone."""
        with ThreadPoolExecutor(len(self.plans)) as cells:
            for _ in cells.map(self.run_cell, self.plans):
                pass

    def run_cell(self, cell: CellPlan) -> None:
        """Search, select, repeat."""
        searched: dict[str, Fields] = {}
        tried: list[Tried] = []
        for generation in count() if cell.searched else ():
            asked = algorithm_of(cell.space).ask(cell, generation, tried)
            if not asked:
                break
            specs = {spec.trial_id: spec for config in asked for spec in trials_of(cell, config)}
            searched |= self.run([spec for name, spec in specs.items() if name not in searched])
            tried += [Tried(config, mean_of(cell, config, searched, "score")) for config in asked]
        winner, score = select(cell, tried, searched)
        if winner is None:
            return
        repeats = [cell.repeat_trial(winner, seed) for seed in cell.repeat_seeds]
        self.write(selection(cell, winner, score, searched, repeats))
        self.run(repeats)

    def run(self, specs: Sequence[TrialSpec]) -> dict[str, Fields]:
        """The records of these runs, by trial id, which are then in the ledger too."""
        with ThreadPoolExecutor(max(1, len(specs))) as pool:
            return {record["trial_id"]: record for record in pool.map(self.run_one, specs)}

    def run_one(self, spec: TrialSpec) -> Fields:
        """One run in a process of its own."""
        with self._free, tempfile.TemporaryDirectory(prefix="baseline-") as scratch:
            told, out = Path(scratch) / "spec.json", Path(scratch) / "result.json"
            told.write_text(json.dumps(spec.to_json()))
            began = time.perf_counter()
            paths = ["--space", self.folder.space, "--spec", told, "--out", out, "--data-root", self.data_root]
            command = [sys.executable, TRIAL, *paths, "--threads", self.threads]
            subprocess.run(list(map(str, command)), check=True)
            ending = json.loads(out.read_text())
            record = trial_record(spec, ending, time.perf_counter() - began)
        self.write(record)
        return record

    def write(self, record: Fields) -> None:
        with self._writing:
            self.folder.ledger.append(msgspec.convert(record, Record))


def trials_of(cell: CellPlan, config: Config) -> list[TrialSpec]:
    return [cell.search_trial(config, seed) for seed in cell.search_seeds]


def mean_of(cell: CellPlan, config: Config, records: Mapping[str, Fields], name: str) -> float | None:
    """The mean of `score` or `loss` over the seeds of a configuration; None where a run failed."""
    values = [records[spec.trial_id][name] for spec in trials_of(cell, config)]
    return None if None in values else fmean(values)


def select(cell: CellPlan, tried: Sequence[Tried], records: Mapping[str, Fields]) -> tuple[Config | None, float | None]:
    """The configuration of highest mean score, then lowest mean loss, then asked first; None where all failed."""
    if not cell.searched:
        return {}, None
    best: tuple[float, float] | None = None
    winner: Config | None = None
    for one in tried:
        loss = mean_of(cell, one.config, records, "loss")
        if one.score is None or loss is None:
            continue
        if best is None or (one.score, -loss) > best:
            best, winner = (one.score, -loss), one.config
    return winner, best[0] if best else None


def selection(
    cell: CellPlan, winner: Config, score: float | None, searched: Mapping[str, Fields], repeats: Sequence[TrialSpec]
) -> Fields:
    """The ledger's line of a selection."""
    return {
        "kind": "selection",
        "cell": cell.cell.to_json(),
        "config_id": repeats[0].config_id,
        "hparams": winner,
        "score": score,
        "metric": cell.data.metric,
        "split": "id_val",
        "configs": len({record["config_id"] for record in searched.values()}),
        "seeds": len(cell.search_seeds) if searched else 0,
        "searched": list(searched),
        "repeats": [spec.trial_id for spec in repeats],
        **({"deterministic": True} if cell.is_deterministic else {}),
    }


def trial_record(spec: TrialSpec, ending: Fields, seconds: float) -> Fields:
    """The ledger's line of a run."""
    empty = dict.fromkeys(("score", "loss", "metric", "best_epoch", "epochs", "alpha"))
    settings = spec.to_json()
    told = {name: settings.pop(name) for name in ("cell", "stage", "seed", "hparams")}
    return {
        "kind": "trial",
        "trial_id": spec.trial_id,
        **told,
        "config_id": spec.config_id,
        "settings": settings,
        "status": ending["status"],
        "reason": ending.get("reason"),
        **ending.get("result", {**empty, "curve": [], "evaluations": [], "notes": []}),
        "log": None,
        "seconds": round(seconds, 3),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": VERSIONS | {"python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", help="a YAML file, or the name of a bundled search space")
    parser.add_argument("--out", type=Path, required=True, help="the run folder to make")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--at-once", type=int, default=1, help="runs that go on at once (%(default)s)")
    options = parser.parse_args()
    space = load(options.space, options.overrides)
    Baseline(space, options.out, options.data_root, options.at_once).go()


if __name__ == "__main__":
    main()
