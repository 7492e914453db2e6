"""Search spaces and plans small enough to run whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spaces import MAPPING

from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.plan import CellPlan, plan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.spec import TrialSpec

Answer = Callable[[TrialSpec], Outcome]


def space_of(**changes: Any) -> SearchSpace:
    """A valid search space on the embedded data, with top-level keys replaced by `changes`."""
    mapping = {
        **MAPPING,
        "methods": ["zeroshot", "lp", "ft"],
        "train": {"epochs": 2, "batch_size": 128, "warmup_steps": 2},
        "search": {
            "algorithm": "optuna",
            "num_samples": 5,
            "batch": 2,
            "space": {"lr": {"loguniform": [1e-4, 1e-2]}, "weight_decay": {"choice": [0.0, 0.1]}},
        },
        "repeats": {"seeds": 3},
        "wise_ft": {"alphas": 3},
    }
    return from_mapping({**mapping, **changes})


def plans_of(space: SearchSpace) -> list[CellPlan]:
    return plan(space, check(space, Path("absent")))


def answer(spec: TrialSpec) -> Outcome:
    """A made-up but deterministic outcome, a smooth function of the learning rate."""
    score = 0.5 + 10 * float(spec.hparams.get("lr", 0.0)) + 1e-4 * spec.seed
    return Outcome(spec.trial_id, "done", min(score, 1.0), 1.0 - min(score, 1.0))


def drive(
    protocol: Protocol, answer: Answer = answer, at_once: int = 1, stop_after: int | None = None
) -> list[TrialSpec]:
    """Run `protocol` with `at_once` workers, the latest started finishing first; returns the trials in their order."""
    ran: list[TrialSpec] = []
    running: list[TrialSpec] = []
    while not protocol.done and (stop_after is None or len(ran) < stop_after):
        while len(running) < at_once and (spec := protocol.next()) is not None:
            running.append(spec)
        spec = running.pop()
        ran.append(spec)
        protocol.finish(answer(spec))
    return ran
