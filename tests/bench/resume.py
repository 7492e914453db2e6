"""Going on with a long sweep: from the command to the first new trial, with 100,000 trials in the ledger.

The ledger is made up, the trials in it are those that the search space asks for, and the last ones are missing. The
first new trial counts when it is in the ledger, so that the start of Ray and of a worker are in the time.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from baseline import trial_record
from measuring import Options, Report, Row, Sample, main, scratch, under_way

from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.spec import DONE, TrialSpec

SPACE = """
name: long
dataset: digits
model: {{arch: digits-clip, pretrained: bundled}}
methods: ["noop:DoNothing"]
search: {{algorithm: random, num_samples: {configs}, seeds: {seeds}, space: {{x: {{uniform: [0, 1]}}}}}}
repeats: {{seeds: 1}}
wise_ft: {{alphas: [1.0]}}
"""
TRIALS, SEEDS, MISSING = 100_000, 5, 50
EPOCHS = 10
PATIENCE_SECONDS = 300.0


def benchmark(options: Options) -> Report:
    trials = 1_000 if options.tiny else TRIALS
    with scratch() as folder:
        space, ledger = folder / "long.yaml", folder / "ledger.jsonl"
        space.write_text(SPACE.format(configs=trials // SEEDS, seeds=SEEDS))
        write_ledger(space, ledger)
        size = ledger.stat().st_size / 2**20
        told = Sample(tuple(first_new_trial(space, ledger) for _ in range(options.runs))).told("s")
    note = f"until the first new trial is in the ledger, which has {size:.0f} MiB; the MLflow store is empty"
    return Report([Row(f"resume of a ledger of {trials:,} trials", told, "-", told, options.runs, note)])


def write_ledger(source: Path, ledger: Path) -> None:
    """All trials of the search but the last ones, each with a curve and an evaluation."""
    space = load(str(source))
    cell = Protocol(plan(space, check(space, Path("absent")))).cells[0]
    specs = [cell.plan.search_trial(one.hparams, one.seed) for one in cell.searched]
    with ledger.open("w", encoding="utf-8") as file:
        for spec in specs[:-MISSING]:
            line = trial_record(spec, {"status": DONE, "result": result(spec)}, seconds=1.0)
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def result(spec: TrialSpec) -> dict[str, Any]:
    """What a trial of ten epochs comes to."""
    score = 1 / (1 + spec.hparams["x"])
    metrics = {"accuracy": score, "mean_per_class_accuracy": score, "macro_f1": score}
    split = {"split": "id_val", "role": "id_val", "n_examples": 400, "primary": "accuracy", "metrics": metrics}
    told = {"score": score, "loss": 1 - score, "metric": "accuracy", "best_epoch": EPOCHS, "epochs": EPOCHS}
    curve = [{"epoch": epoch, "train_loss": 1.0, "loss": 1 - score, **metrics} for epoch in range(1, EPOCHS + 1)]
    return {**told, "alpha": None, "curve": curve, "evaluations": [{"alpha": 1.0, "splits": [split]}], "notes": []}


def first_new_trial(space: Path, ledger: Path) -> float:
    """Seconds from the command to the first new line; the driver is killed then."""
    with scratch() as folder:
        out = folder / "runs" / "long"
        out.mkdir(parents=True)
        shutil.copy(space, out / "space.yaml")
        growing = Path(shutil.copy(ledger, out / "ledger.jsonl"))
        size, began = growing.stat().st_size, time.perf_counter()
        with under_way(space, out) as driver:
            while growing.stat().st_size <= size and driver.poll() is None:
                if time.perf_counter() - began > PATIENCE_SECONDS:
                    raise RuntimeError(f"no new trial within {PATIENCE_SECONDS:g} s")
                time.sleep(0.01)
            return time.perf_counter() - began


if __name__ == "__main__":
    main(benchmark, __doc__)
