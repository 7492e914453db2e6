"""What counts as finished: a trial whose line is in the ledger, and none else."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs.recorder import Recorder
from flyp_sweep.orchestrator.runs.under_way import UnderWay
from flyp_sweep.orchestrator.store.trial_files import TrialFiles
from flyp_sweep.results.ledger.file import Ledger

ENDING = {
    "status": "done",
    "seconds": 1.0,
    "result": {
        "score": 0.5,
        "loss": 1.0,
        "metric": "accuracy",
        "best_epoch": 1,
        "epochs": 1,
        "alpha": None,
        "curve": [],
        "evaluations": [],
        "notes": [],
    },
}


class Heard:
    """A listener that keeps the ids of the trials that it hears of."""

    def __init__(self) -> None:
        self.finished_ids: list[str] = []

    def started(self, trial):
        pass

    progressed = started

    def finished(self, record):
        self.finished_ids.append(record.trial_id)

    def retried(self, spec, reason, pause):
        raise AssertionError("no trial was started again")

    def selected(self, selection):
        pass


def recorder(folder: Path) -> tuple[Recorder, Heard]:
    protocol, heard = Protocol(plans_of(space_of(methods=["ft"]))), Heard()
    running, under_way = TrialFiles(folder / "running"), UnderWay(protocol, folder / "running")
    return Recorder(Ledger(folder / "ledger.jsonl"), protocol, running, running, [heard], under_way=under_way), heard


def test_a_finished_trial_is_in_the_ledger_before_anyone_hears_of_it(tmp_path):
    kept, heard = recorder(tmp_path)
    spec = kept.protocol.next()
    kept.ended(spec, ENDING)
    assert [one.trial_id for one in kept.ledger.load()] == heard.finished_ids == [spec.trial_id]
    assert spec.trial_id in kept.protocol.outcomes


def test_a_trial_whose_line_cannot_be_written_is_not_finished_and_ends_the_sweep(tmp_path):
    kept, heard = recorder(tmp_path)
    spec = kept.protocol.next()
    with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")):
        kept.ended(spec, ENDING)
    assert kept.broken
    assert "cannot be written (No space left on device)" in kept.trouble[0]
    assert kept.ledger.load() == heard.finished_ids == []
    assert not kept.protocol.outcomes


def test_a_listener_that_raises_harms_neither_the_ledger_nor_the_other_listeners(tmp_path):
    class Broken:
        def finished(self, record):
            raise ValueError("[/]")

        retried = selected = finished

    kept, heard = recorder(tmp_path)
    kept.listeners = [Broken(), heard]
    spec = kept.protocol.next()
    kept.ended(spec, ENDING)
    assert [one.trial_id for one in kept.ledger.load()] == heard.finished_ids == [spec.trial_id]
