"""Going on with a long sweep: from the command to the first new trial, with 100,000 trials in the ledger.

The ledger is made up, the trials in it are those that the search space asks for, and the last ones are missing. The
first new trial counts when it is in the ledger, so that the start of Ray and of a worker are in the time.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import psutil
from measuring import Options, Report, Row, Sample, environment, main, scratch, sweep_command, told_profile
from processes import family

from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.spec import TrialSpec

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
        found = Sample(tuple(first_new_trial(space, ledger) for _ in range(options.runs)))
        profiles = {f"resume of {trials:,} trials, the driver": profile(space, ledger)} if options.profile else {}
    row = Row(
        f"resume of a ledger of {trials:,} trials",
        found.told("s"),
        "-",
        found.told("s"),
        options.runs,
        f"until the first new trial is in the ledger, which has {size:.0f} MiB; the MLflow store is empty",
    )
    return Report([row], profiles)


def write_ledger(space: Path, ledger: Path) -> None:
    """All trials of the search but the last ones, each with a curve and an evaluation."""
    specs = asked(space)
    with ledger.open("w", encoding="utf-8") as file:
        for spec in specs[:-MISSING]:
            file.write(json.dumps(record(spec), separators=(",", ":")) + "\n")


def asked(source: Path) -> list[TrialSpec]:
    space = load(str(source))
    cell = Protocol(plan(space, check(space, Path("absent")))).cells[0]
    return [cell.plan.search_trial(one.hparams, one.seed) for one in cell.searched]


def record(spec: TrialSpec) -> dict[str, object]:
    """A line as a trial of ten epochs leaves it."""
    settings = spec.to_json()
    told = {name: settings.pop(name) for name in ("cell", "stage", "seed", "hparams")}
    score = 1 / (1 + spec.hparams["x"])
    metrics = {"accuracy": score, "mean_per_class_accuracy": score, "macro_f1": score}
    split = {"split": "id_val", "role": "id_val", "n_examples": 400, "primary": "accuracy", "metrics": metrics}
    return {
        "kind": "trial",
        "trial_id": spec.trial_id,
        **told,
        "config_id": spec.config_id,
        "settings": settings,
        "status": "done",
        "reason": None,
        "score": score,
        "loss": 1 - score,
        "metric": "accuracy",
        "best_epoch": EPOCHS,
        "epochs": EPOCHS,
        "alpha": None,
        "curve": [{"epoch": epoch, "train_loss": 1.0, "loss": 1 - score, **metrics} for epoch in range(1, EPOCHS + 1)],
        "evaluations": [{"alpha": 1.0, "splits": [split]}],
        "notes": [],
        "log": None,
        "seconds": 1.0,
        "finished": "2026-01-01T00:00:00+00:00",
        "versions": {},
    }


def first_new_trial(space: Path, ledger: Path) -> float:
    """Seconds from the command to the first new line; the driver is killed then."""
    with scratch() as folder:
        out = prepared(folder, space, ledger)
        size = out.stat().st_size
        began = time.perf_counter()
        driver = start(space, out.parent)
        try:
            wait_for_growth(out, size, driver)
            return time.perf_counter() - began
        finally:
            end(driver)


def prepared(folder: Path, space: Path, ledger: Path) -> Path:
    """The ledger of a run folder that holds the made-up trials."""
    out = folder / "runs" / "long"
    out.mkdir(parents=True)
    shutil.copy(space, out / "space.yaml")
    return Path(shutil.copy(ledger, out / "ledger.jsonl"))


def start(space: Path, out: Path, stats: Path | None = None) -> subprocess.Popen[str]:
    command = sweep_command(space, out, profile=stats)
    log = (out.parent / "log").open("w")
    return subprocess.Popen(command, env=environment(out), text=True, stdout=log, stderr=subprocess.STDOUT)


def wait_for_growth(ledger: Path, size: int, driver: subprocess.Popen[str]) -> None:
    """Return when the ledger is larger than `size`. Raises RuntimeError when the driver ends, or takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ledger.stat().st_size <= size:
        if driver.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no new trial:\n{(ledger.parents[1] / 'log').read_text()}")
        time.sleep(0.01)


def end(driver: subprocess.Popen[str]) -> None:
    """Kill a driver with all that it started."""
    for process in family(driver.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    driver.wait()


def profile(space: Path, ledger: Path) -> str:
    """The driver's time until it has gone through to the end: the few trials that are missing are run."""
    with scratch() as folder:
        out = prepared(folder, space, ledger)
        driver = start(space, out.parent, folder / "driver.profile")
        driver.wait()
        return told_profile(folder / "driver.profile")


if __name__ == "__main__":
    main(benchmark, __doc__)
