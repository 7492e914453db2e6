"""A whole protocol, ours against the baseline: wall times, whether they agree, and where our time goes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agreement import compare
from measuring import HERE, Options, Report, Row, alternate, profiled, seconds, sweep, told_profile

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.spec import DONE, FAILED


class Race:
    """Ways through one search space, run in turns; the run folders of each round stay until the end."""

    def __init__(self, space: Path, data_root: Path, folder: Path, *more: str) -> None:
        self.space = space
        self.name = load(str(space)).name
        self.data_root = data_root
        self.folder = folder
        self.more = more
        self.rounds: Counter[str] = Counter()

    def ours(self) -> float:
        out = self._next("ours")
        return seconds(lambda: sweep(self.space, out, "--data-root", self.data_root, *self.more))

    def baseline(self, at_once: int) -> float:
        out = self._next(f"baseline-{at_once}")
        command = [sys.executable, HERE / "baseline.py", self.space, "--out", out, "--at-once", at_once, *self.more]
        told = list(map(str, [*command, "--data-root", self.data_root]))
        return seconds(lambda: subprocess.run(told, check=True))

    def out(self, side: str, number: int) -> Path:
        return self.folder / side / str(number) / self.name

    def _next(self, side: str) -> Path:
        self.rounds[side] += 1
        out = self.out(side, self.rounds[side])
        out.parent.mkdir(parents=True)
        return out


def race(what: str, space: Path, data_root: Path, options: Options, *more: str) -> Report:
    """The benchmark of one search space: against one training run after the other, and as many at once as cores."""
    cores = os.cpu_count() or 1
    ways = {1: "one run after the other, on all cores", cores: f"{cores} runs at once, on a core each"}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        sides = Race(space, data_root, Path(folder), *more)
        baselines = [partial(sides.baseline, at_once) for at_once in ways]
        ours, *theirs = alternate(options.protocol_runs, sides.ours, *baselines)
        rows = []
        for (at_once, way), found in zip(ways.items(), theirs, strict=True):
            told = compare(sides.out("ours", 1), sides.out(f"baseline-{at_once}", 1))
            against, result = f"{found.told('s')}, {way}", found.over(ours).told("times less")
            rows.append(Row(what, ours.told("s"), against, result, options.protocol_runs, str(told)))
        profiles = _profiles(what, sides) if options.profile else {}
    return Report(rows, profiles)


def _profiles(what: str, sides: Race) -> dict[str, str]:
    """The driver's time, and the trials' own, which are run for it one after the other in this process."""
    stats = sides.folder / "driver.profile"
    sweep(sides.space, sides._next("ours"), "--data-root", sides.data_root, *sides.more, profile=stats)
    trials = profiled(in_this_process(sides.space, sides.data_root))
    return {f"{what}, the driver": told_profile(stats), f"{what}, the trials": trials}


def in_this_process(source: Path, data_root: Path) -> Callable[[], None]:
    """All trials of a search space, one after the other, on one thread of this process."""
    import torch

    space = load(str(source))
    protocol = Protocol(plan(space, check(space, data_root, allow_incomplete=True)))
    runner = TrialRunner(space, data_root, torch.device("cpu"))

    def go() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        while (spec := protocol.next()) is not None:
            try:
                found = runner.result(spec)
                protocol.finish(Outcome(spec.trial_id, DONE, found.score, found.loss))
            except TrialFailed:
                protocol.finish(Outcome(spec.trial_id, FAILED, None, None))
        torch.set_num_threads(before)

    return go
