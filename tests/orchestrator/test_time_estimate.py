"""The estimate of a run's time rests on trials like its own, and says which it had and which it lacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ledgers import record_of
from sweeps import answer, drive, plans_of, space_of

from flyp_sweep.orchestrator.engine.resources import share_of, this_machine
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.before import steps_line
from flyp_sweep.orchestrator.runs.time_estimate import estimate
from flyp_sweep.results.ledger.schema import encode
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.hardware import machine
from flyp_sweep.trainers.spec import TrialSpec

METHODS = ["zeroshot", "ft"]


def here(space: SearchSpace) -> dict[str, Any]:
    """What the ledger says of a trial on this machine, if it ran with the resources of `space`."""
    wanted = share_of(space, [this_machine()])
    return {**machine("cpu", wanted.threads, wanted.world), "gpu": "a GPU" if wanted.gpu else None}


def line(plan: CellPlan, spec: TrialSpec, seconds: float, epochs: int = 2, **changes: Any) -> bytes:
    """A ledger's line of a finished trial."""
    settings = {k: v for k, v in spec.to_json().items() if k not in ("cell", "stage", "seed", "hparams")}
    told = {
        "kind": "trial",
        "trial_id": spec.trial_id,
        "cell": spec.cell.to_json(),
        "stage": spec.stage,
        "seed": spec.seed,
        "hparams": dict(spec.hparams),
        "config_id": spec.config_id,
        "settings": settings,
        "status": "done",
        "epochs": epochs,
        "evaluations": [],
        "seconds": seconds,
        "machine": here(plan.space),
    }
    return encode(record_of({**told, **changes}))


def ledger(folder: Path, *lines: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ledger.jsonl").write_bytes(b"".join(lines))


def lines_of(plans: list[CellPlan], **changes: Any) -> list[bytes]:
    """Zero-shot in 3 s; searches of `ft` in 10 and 30 s (1 of 2 epochs), repeats in 40 s."""
    zeroshot, ft = plans
    hparams = {"lr": 1e-3, "weight_decay": 0.0}
    return [
        line(zeroshot, zeroshot.repeat_trial({}, 0), 3.0, 0, **changes),
        line(ft, ft.search_trial(hparams, 0), 10.0, 2, **changes),
        line(ft, ft.search_trial({**hparams, "lr": 2e-3}, 0), 15.0, 1, **changes),
        line(ft, ft.repeat_trial(hparams, 0), 40.0, 2, **changes),
    ]


def test_it_is_the_median_time_per_epoch_of_each_stage(tmp_path: Path) -> None:
    space = space_of(methods=METHODS)
    plans = plans_of(space)
    ledger(tmp_path / "runs" / "before", *lines_of(plans))
    found = estimate(Protocol(plans), tmp_path / "runs" / "new")
    assert found is not None
    assert found.seconds == pytest.approx(3 + 5 * 20 + 3 * 40)
    assert (found.trials, found.unknown, found.runs) == (4, {}, (str(tmp_path / "runs" / "before"),))
    assert f"estimated from 4 earlier trials in {tmp_path}/runs/before" in str(found)
    longer = space_of(methods=METHODS, train={"epochs": 4, "batch_size": 128, "warmup_steps": 2})
    found = estimate(Protocol(plans_of(longer)), tmp_path / "runs" / "new")
    assert found is not None
    assert found.seconds == pytest.approx(3 + 2 * (5 * 20 + 3 * 40))
    ledger(tmp_path / "runs" / "longer", *lines_of(plans_of(longer)))
    found = estimate(Protocol(plans_of(longer)), tmp_path / "runs" / "new")
    assert found is not None
    assert found.seconds == pytest.approx(3 + 5 * 40 + 3 * 80), "trials of as many epochs count alone"


def test_only_what_is_left_counts(tmp_path: Path) -> None:
    plans = plans_of(space_of(methods=METHODS))
    ledger(tmp_path / "runs" / "x", *lines_of(plans))
    ran = drive(Protocol(plans), stop_after=3)
    found = estimate(Protocol(plans, map(answer, ran)), tmp_path / "runs" / "x")
    assert found is not None
    assert found.seconds == pytest.approx((5 - 2) * 20 + 3 * 40)
    whole = drive(Protocol(plans))
    assert estimate(Protocol(plans, map(answer, whole)), tmp_path / "runs" / "x") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": {"cpu": "another", "cores": 1, "gpu": None, "processes": 1, "threads": 1}},
        {"machine": None},
        {"status": "failed"},
        {"settings": {"batch_size": 64}},
        {"settings": {"precision": "bf16"}},
        {"cell": {"dataset": "digits", "model": "another", "shots": None, "method": "ft"}},
        {"cell": {"dataset": "digits", "model": "digits-clip", "shots": 4, "method": "ft"}},
    ],
)
def test_trials_that_take_another_time_do_not_count(changes: dict[str, Any], tmp_path: Path) -> None:
    plans = plans_of(space_of(methods=["ft"]))
    ledger(tmp_path / "runs" / "before", *lines_of([plans[0], plans[0]], **changes)[1:])
    found = estimate(Protocol(plans), tmp_path / "runs" / "new")
    assert str(found) == "no estimate of time: no earlier trial of FT with digits-clip on these data and this machine"


def test_what_is_unknown_is_named_beside_what_is_known(tmp_path: Path) -> None:
    plans = plans_of(space_of(methods=METHODS))
    ledger(tmp_path / "runs" / "before", lines_of(plans)[0], b'{"kind":"trial","tor')
    said = str(estimate(Protocol(plans), tmp_path / "runs" / "new"))
    assert "estimated from 1 earlier trial in " in said
    assert said.startswith("time: more than ")
    assert said.endswith("; no earlier trial of FT with digits-clip on these data and this machine")


def test_there_is_no_bound_and_no_time_of_0_s(tmp_path: Path) -> None:
    plans = plans_of(space_of(methods=METHODS))
    zeroshot, _ = plans
    ledger(tmp_path / "runs" / "before", line(zeroshot, zeroshot.repeat_trial({}, 0), 0.4, 0))
    said = str(estimate(Protocol(plans), tmp_path / "runs" / "new"))
    assert said == "no estimate of time: no earlier trial of FT with digits-clip on these data and this machine"
    said = str(estimate(Protocol([zeroshot]), tmp_path / "runs" / "new"))
    assert said == f"time: 1 s at most, estimated from 1 earlier trial in {tmp_path}/runs/before"


def test_steps_are_told_once_where_they_are_the_same() -> None:
    assert steps_line(plans_of(space_of(methods=["zeroshot", "ft", "flyp"]))) == "14 steps per trial"
    few = plans_of(space_of(methods=["ft"], shots=[4, 16], train={"epochs": 2, "batch_size": 40, "warmup_steps": 0}))
    assert steps_line(few) == "steps per trial: 2 (digits, 4-shot); 8 (digits, 16-shot)"
    assert steps_line(plans_of(space_of(methods=["zeroshot", "lp"]))) is None
