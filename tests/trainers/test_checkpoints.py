"""A trial that is taken up again from its checkpoint ends as one that nothing disturbed, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from cutting import cut, go_on
from safetensors import safe_open

from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint, Policy
from flyp_sweep.trainers.testing.bench import Bench

pytestmark = pytest.mark.slow


def test_the_seconds_of_a_trial_count_those_before_its_checkpoint(bench: Bench, tmp_path: Path) -> None:
    spec = bench.spec(epochs=3)
    policy = Policy(tmp_path, every_seconds=0)
    cut(bench, spec, Checkpoint(policy, spec.trial_id), 2)
    again = Checkpoint(policy, spec.trial_id)
    saved = again.load()
    assert saved is not None
    assert again.seconds >= saved.facts["seconds"] > 0


@pytest.mark.parametrize(
    ("method", "crops", "after"), [("ft", "exact", 1), ("flyp", "exact", 2), ("ft", "exact", 3), ("flyp", "batched", 2)]
)
def test_it_ends_as_if_undisturbed(bench: Bench, tmp_path: Path, method: str, crops: str, after: int) -> None:
    spec = bench.spec(method, epochs=3, shots=4, crops=crops)
    policy = Policy(tmp_path / "checkpoints", every_seconds=0)
    cut(bench, spec, Checkpoint(policy, spec.trial_id), after)
    checkpoint = Checkpoint(policy, spec.trial_id)
    reports, fitted = go_on(bench, spec, checkpoint)
    expected_reports, expected = go_on(bench, spec, None)
    assert checkpoint.trouble is None
    assert reports == expected_reports[after:]
    assert (fitted.report, fitted.scores) == (expected.report, expected.scores)
    assert bench.same(fitted.state, expected.state)


def test_the_best_epoch_is_kept_beside_a_worse_last_one(bench: Bench, tmp_path: Path) -> None:
    spec = bench.spec("ft", epochs=6, patience=2, hparams={"lr": 3.0, "weight_decay": 0.0})
    _, expected = go_on(bench, spec, None)
    assert expected.report.best_epoch < expected.report.epoch < 6, "patience has to end it, after its best epoch"
    policy = Policy(tmp_path, every_seconds=0)
    for after in range(1, expected.report.epoch + 1):
        checkpoint = Checkpoint(policy, spec.trial_id)
        cut(bench, spec, checkpoint, after)
        reports, fitted = go_on(bench, spec, Checkpoint(policy, spec.trial_id))
        assert len(reports) == expected.report.epoch - after
        assert fitted.report == expected.report
        assert bench.same(fitted.state, expected.state)
        checkpoint.path.unlink()


def test_an_epoch_is_saved_when_due_and_when_asked_for(bench: Bench, tmp_path: Path) -> None:
    spec = bench.spec("ft", epochs=3)
    patient = Checkpoint(Policy(tmp_path, every_seconds=3600), spec.trial_id)
    cut(bench, spec, patient, 2)
    assert not patient.path.exists()
    patient.flush()
    assert patient.path.exists()
    before = patient.path.read_bytes()
    patient.flush()
    assert patient.path.read_bytes() == before
    assert len(go_on(bench, spec, patient)[0]) == 1


def test_what_is_on_the_disk_is_safetensors_and_json(bench: Bench, tmp_path: Path) -> None:
    spec = bench.spec("flyp", epochs=2)
    cut(bench, spec, Checkpoint(Policy(tmp_path, every_seconds=0), spec.trial_id), 1)
    (path,) = tmp_path.iterdir()
    with safe_open(path, "pt") as file:
        assert set(file.metadata()) == {"facts"}
        names = {name.split("/")[0] for name in file.keys()}  # noqa: SIM118  # not a dict
    assert names == {"model", "optimizer"}, "the first epoch is the best one, and saved once"
