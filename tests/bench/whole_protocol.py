"""The whole protocol at quickstart scale, ours against the baseline: wall times, and whether both find the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from agreement import told_differences
from measuring import HERE, Options, Report, Row, alternate, main, scratch, seconds, sweep

from flyp_sweep.search_spaces.loading import dump, load

CUT_DOWN = (
    "methods=[zeroshot, ft]",
    "search.per_method={}",
    "search.num_samples=1",
    "train.epochs=1",
    "repeats.seeds=1",
    "wise_ft.alphas=2",
)


class Race:
    """Ways through one search space, run in turns; the run folders of each round stay until the end."""

    def __init__(self, space: Path) -> None:
        self.space = space
        self.rounds: Counter[str] = Counter()

    def ours(self) -> float:
        out = self._next("ours")
        return seconds(lambda: sweep(self.space, out))

    def baseline(self, at_once: int) -> float:
        out = self._next(f"baseline-{at_once}")
        command = [sys.executable, HERE / "baseline.py", self.space, "--out", out, "--at-once", at_once]
        return seconds(lambda: subprocess.run(list(map(str, command)), check=True))

    def out(self, side: str, number: int) -> Path:
        return self.space.parent / side / str(number) / self.space.stem

    def _next(self, side: str) -> Path:
        self.rounds[side] += 1
        out = self.out(side, self.rounds[side])
        out.parent.mkdir(parents=True)
        return out


def benchmark(options: Options) -> Report:
    """Against one training run after the other, and against as many at once as there are cores."""
    cores = os.cpu_count() or 1
    ways = {1: "one run after the other, on all cores", cores: f"{cores} runs at once, on a core each"}
    with scratch() as folder:
        space = folder / "quickstart.yaml"
        space.write_text(dump(load("quickstart", CUT_DOWN if options.tiny else ())))
        sides = Race(space)
        baselines = [partial(sides.baseline, at_once) for at_once in ways]
        ours, *theirs = alternate(options.protocol_runs, sides.ours, *baselines)
        rows = []
        for (at_once, way), found in zip(ways.items(), theirs, strict=True):
            told = told_differences(sides.out("ours", 1), sides.out(f"baseline-{at_once}", 1))
            against, result = f"{found.told('s')}, {way}", found.over(ours).told("times less")
            rows.append(Row("whole protocol, quickstart", ours.told("s"), against, result, options.protocol_runs, told))
    return Report(rows)


if __name__ == "__main__":
    main(benchmark, __doc__)
