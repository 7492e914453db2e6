"""A whole protocol, ours against the baseline: wall time of both, whether they agree, and where our time goes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from agreement import compare
from measuring import HERE, Options, Report, Row, alternate, profiled, seconds, sweep, told_profile

from orchestrator.plan import plan
from orchestrator.protocol import Outcome, Protocol
from search_spaces.loading import load
from trainers.failure import TrialFailed
from trainers.preflight import check
from trainers.runner import TrialRunner
from trainers.spec import DONE, FAILED


class Race:
    """Two ways through one search space, run in turns; the run folders of each round stay until the end."""

    def __init__(self, space: Path, data_root: Path, folder: Path, *more: str) -> None:
        self.space = space
        self.name = load(str(space)).name
        self.data_root = data_root
        self.folder = folder
        self.more = more
        self.rounds = {"ours": 0, "baseline": 0}

    def ours(self) -> float:
        out = self._next("ours")
        return seconds(lambda: sweep(self.space, out, "--data-root", self.data_root, *self.more))

    def baseline(self) -> float:
        command = [sys.executable, HERE / "baseline.py", self.space, "--out", self._next("baseline"), *self.more]
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
    """The benchmark of one search space."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        both = Race(space, data_root, Path(folder), *more)
        ours, baseline = alternate(options.protocol_runs, both.ours, both.baseline)
        told = compare(both.out("ours", 1), both.out("baseline", 1))
        result = f"{baseline.over(ours).told('times less')}"
        row = Row(what, ours.told("s"), f"{baseline.told('s')}, baseline.py", result, options.protocol_runs, str(told))
        profiles = _profiles(what, both) if options.profile else {}
    return Report([row], profiles)


def _profiles(what: str, both: Race) -> dict[str, str]:
    """The driver's time, and the trials' own, which are run for it one after the other in this process."""
    stats = both.folder / "driver.profile"
    sweep(both.space, both._next("ours"), "--data-root", both.data_root, *both.more, profile=stats)
    trials = profiled(in_this_process(both.space, both.data_root))
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
