"""The command line as a user runs it: in processes of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

from flyp_sweep.orchestrator.cli import main

COMMAND = [sys.executable, "-m", "flyp_sweep"]

SMALL = """
name: small
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, lp, ft, flyp]
train: {epochs: 2, batch_size: 128, warmup_steps: 2}
search:
  algorithm: optuna
  num_samples: 3
  batch: 2
  space: {lr: {loguniform: [1.0e-4, 1.0e-2]}, weight_decay: {choice: [0.0, 0.1]}}
  per_method:
    lp: {l2: {loguniform: [1.0e-5, 1.0e-1]}}
repeats: {seeds: 2}
wise_ft: {alphas: 3, frontier: true}
"""

QUICK = """
name: quick
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, lp]
search: {algorithm: random, num_samples: 3, space: {l2: {loguniform: [1.0e-3, 1.0e-1]}}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""


def start(*arguments: object, cwd: Path, path: Path | None = None) -> subprocess.Popen[str]:
    """Start `flyp-sweep` with these arguments in `cwd`, with `path` on the module path."""
    paths = filter(None, [str(path or ""), os.environ.get("PYTHONPATH")])
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run(*arguments: object, cwd: Path, path: Path | None = None, timeout: float = 300) -> tuple[int, str]:
    """Exit code and output of `flyp-sweep` with these arguments."""
    process = start(*arguments, cwd=cwd, path=path)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output


def call(*arguments: object, cwd: Path) -> tuple[int, str]:
    """As `run`, in this process: for what ends before any trial starts, without paying for the imports each time."""
    output = io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
        mock.patch.object(sys, "argv", ["flyp-sweep", *map(str, arguments)]),
    ):
        try:
            main.main()
        except SystemExit as end:
            return int(end.code or 0), output.getvalue()
    return 0, output.getvalue()


def trials(run_folder: Path) -> list[dict[str, Any]]:
    """The trial records of a run folder's ledger, whole lines only."""
    ledger = run_folder / "ledger.jsonl"
    if not ledger.exists():
        return []
    lines = [line for line in ledger.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [record for record in map(json.loads, lines) if record["kind"] == "trial"]


def wait_for_trials(run_folder: Path, count: int, process: subprocess.Popen[str], timeout: float = 120) -> None:
    """Return when the ledger holds `count` trials; fails when the process ends before, or it takes too long."""
    deadline = time.monotonic() + timeout
    while len(trials(run_folder)) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the sweep makes no progress"
        time.sleep(0.05)


def numbers(run_folder: Path) -> dict[str, Any]:
    """What a ledger says, without clocks: trial id -> score, loss, alpha, curve and evaluations."""
    kept = ("status", "score", "loss", "best_epoch", "epochs", "alpha", "curve", "evaluations")
    return {record["trial_id"]: {name: record[name] for name in kept} for record in trials(run_folder)}
