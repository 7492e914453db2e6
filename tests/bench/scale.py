"""A sweep of 100,000 trials that do nothing: trials per second, and what driver, ledger and MLflow store come to.

The memory of the driver is looked at once a second. What trials cost besides is not in it: see `overhead`, `resume`.
"""

from __future__ import annotations

import contextlib
import time

import psutil
import resume
from measuring import Options, Report, Row, main, scratch, under_way

TRIALS = 100_000
EVERY_SECONDS = 1.0


def benchmark(options: Options) -> Report:
    trials = 500 if options.tiny else TRIALS
    with scratch() as folder:
        space, out = folder / "long.yaml", folder / "runs" / "long"
        space.write_text(resume.SPACE.format(configs=trials // resume.SEEDS, seeds=resume.SEEDS))
        ledger, store = out / "ledger.jsonl", out.parent / "mlflow.db"
        began = time.perf_counter()
        size, over, most = 0, 0.0, 0
        with under_way(space, out) as driver:
            while driver.poll() is None:
                if ledger.exists() and ledger.stat().st_size > size:
                    size, over = ledger.stat().st_size, time.perf_counter() - began
                with contextlib.suppress(psutil.NoSuchProcess):
                    most = max(most, psutil.Process(driver.pid).memory_info().rss)
                time.sleep(EVERY_SECONDS)
            ended = time.perf_counter() - began
        stored = store.stat().st_size
    note = f"until the ledger has them; {ended:.0f} s to the end, with tables and MLflow"
    told = f"ledger {size / 2**20:.0f} MiB, MLflow {stored / 2**20:.0f} MiB"
    each = f"{size / trials:.0f} and {stored / trials:.0f} bytes per trial"
    what = f"{trials:,} trials that do nothing"
    return Report(
        [
            Row(what, f"{over:.0f} s", "-", f"{trials / over:.1f} trials/s", 1, note),
            Row(what, told, "-", f"{most / 2**20:.0f} MiB of the driver's memory at most", 1, each),
        ]
    )


if __name__ == "__main__":
    main(benchmark, __doc__)
