"""A sweep of 100,000 trials that do nothing: trials per second, and what driver, ledger and MLflow store come to.

The memory of the driver is looked at once a second. What trials cost besides is not in it: see `overhead`, `resume`.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import resume
from measuring import Options, Report, Row, environment, main, scratch, sweep_command

TRIALS = 100_000
EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Moment:
    """How a sweep stands: seconds since it began, bytes of its ledger, resident bytes of its driver."""

    seconds: float
    ledger: int
    driver: int


def benchmark(options: Options) -> Report:
    trials = 500 if options.tiny else TRIALS
    with scratch() as folder:
        space, out = folder / "long.yaml", folder / "runs" / "long"
        space.write_text(resume.SPACE.format(configs=trials // resume.SEEDS, seeds=resume.SEEDS))
        moments = watched(space, out)
        ended = moments[-1].seconds
        over = next(one for one in moments if one.ledger == moments[-1].ledger)
        store = (out.parent / "mlflow.db").stat().st_size
        each = f"{over.ledger / trials:.0f} and {store / trials:.0f} bytes per trial"
        rows = [
            Row(f"{trials:,} trials that do nothing", f"{trials / over.seconds:.1f} trials/s", "-", f"{ended:.0f} s", 1,
                "until the ledger has them; the seconds are those to the end, with tables and MLflow"),
            Row("the same, the driver's memory", f"{max(one.driver for one in moments) / 2**20:.0f} MiB at most", "-",
                ", ".join(f"{one.driver / 2**20:.0f}" for one in quarters(moments, over)) + " MiB", 1,
                "with a quarter, half, three quarters and all of the trials in the ledger"),
            Row("the same, on the disk", f"ledger {over.ledger / 2**20:.0f} MiB", "-",
                f"MLflow {store / 2**20:.0f} MiB", 1, each),
        ]  # fmt: skip
    return Report(rows)


def watched(space: Path, out: Path) -> list[Moment]:
    """Run the sweep to its end; how it stood meanwhile. Raises RuntimeError when it does not end well."""
    log = space.with_suffix(".log")
    began = time.perf_counter()
    moments = []
    with log.open("w") as file:
        command = sweep_command(space, out)
        driver = subprocess.Popen(command, env=environment(out), text=True, stdout=file, stderr=subprocess.STDOUT)
        while driver.poll() is None:
            ledger = out / "ledger.jsonl"
            size = ledger.stat().st_size if ledger.exists() else 0
            try:
                memory = psutil.Process(driver.pid).memory_info().rss
            except psutil.NoSuchProcess:
                break
            moments.append(Moment(time.perf_counter() - began, size, memory))
            time.sleep(EVERY_SECONDS)
    if driver.wait():
        raise RuntimeError(f"the sweep ended with {driver.returncode}:\n{log.read_text()}")
    return moments


def quarters(moments: list[Moment], over: Moment) -> list[Moment]:
    """The first moments at which the ledger had each quarter of what it came to."""
    return [next(one for one in moments if one.ledger >= over.ledger * part / 4) for part in range(1, 5)]


if __name__ == "__main__":
    main(benchmark, __doc__)
